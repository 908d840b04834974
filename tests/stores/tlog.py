"""Verifies an audit log of hushpipe's without any of hushpipe's code.

    python3 tlog.py DIRECTORY VKEY [PROOF]
    python3 tlog.py DIRECTORY VKEY --cosigned NOTE WITNESS_VKEY

Standard library alone. It follows RFC 6962 (section 2.1), RFC 8032 (Ed25519), c2sp.org/signed-note,
c2sp.org/tlog-checkpoint, c2sp.org/tlog-tiles, c2sp.org/tlog-proof and c2sp.org/tlog-cosignature to the
letter. Ends with 1 and says what is wrong, or prints how many records are whole. With a note that a
witness cosigned, the log must begin with the records that it covers.
"""

import base64
import hashlib
import json
import os
import sys

# Ed25519 by RFC 8032, section 5.1 and appendix A.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def recover(y, sign):
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * ROOT % P
    if (x * x - x2) % P or (x == 0 and sign):
        return None
    return P - x if x & 1 != sign else x


def point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    x = recover(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


def add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(n, a):
    result = (0, 1, 1, 0)
    while n:
        if n & 1:
            result = add(result, a)
        a, n = add(a, a), n >> 1
    return result


def ed25519(public, message, signature):
    base = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
    key, r = point(public), point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or key is None or r is None or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    left, right = times(s, base), add(r, times(h, key))
    same = (left[0] * right[2] - right[0] * left[2]) % P == 0
    return same and (left[1] * right[2] - right[1] * left[2]) % P == 0


class Wrong(Exception):
    pass


def need(holds, what):
    if not holds:
        raise Wrong(what)


def leaf(data):
    return hashlib.sha256(b"\0" + data).digest()


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def root(hashes):
    """MTH of RFC 6962, section 2.1, of leaf hashes."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1 << ((len(hashes) - 1).bit_length() - 1)
    return node(root(hashes[:k]), root(hashes[k:]))


def signed(note, vkey, kind):
    """The text of a note that this key signed, or cosigned; and when that was."""
    name, key_id, public = vkey.split("+", 2)
    public = base64.b64decode(public, validate=True)
    need(public[0] == kind and len(public) == 33, "the key has another signature type")
    digest = hashlib.sha256(name.encode() + b"\n" + public).digest()
    need(digest[:4].hex() == key_id, "the key's id is not its own")
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    for line in signatures.splitlines():
        dash, signer, signature = line.split(" ")
        signature = base64.b64decode(signature, validate=True)
        if dash != "\u2014" or signer != name or signature[:4] != digest[:4]:
            continue
        message, signature, time = text.encode(), signature[4:], None
        if kind == 4:
            time = int.from_bytes(signature[:8], "big")
            message, signature = f"cosignature/v1\ntime {time}\n".encode() + message, signature[8:]
        need(ed25519(public[1:], message, signature), "the signature is wrong")
        return text, time
    raise Wrong("the checkpoint is not signed by this key")


def head(text):
    origin, size, root = text.split("\n")[:3]
    return origin, int(size), base64.b64decode(root, validate=True)


def checkpoint(note, vkey):
    origin, size, root = head(signed(note, vkey, 1)[0])
    need(origin == vkey.split("+")[0], "the checkpoint is of another log")
    return size, root


def cosigned(note, vkey, witness, hashes):
    size, wanted = checkpoint(note, vkey)
    text, time = signed(note, witness, 4)
    need(head(text)[1:] == (size, wanted) and time > 0, "the cosignature is of another checkpoint")
    need(size <= len(hashes), f"{size} records are cosigned, and {len(hashes)} are there")
    need(root(hashes[:size]) == wanted, "the records are not those that were cosigned")


def records(directory):
    names = sorted(name for name in os.listdir(directory) if name.startswith("records-"))
    for name in [*names, "records.jsonl"]:
        with open(os.path.join(directory, name), "rb") as file:
            for line in file:
                need(line.endswith(b"\n"), f"{name} ends within a record")
                yield line[:-1]


def tile_path(level, index, width):
    groups, rest = [f"{index % 1000:03}"], index // 1000
    while rest:
        groups.insert(0, f"x{rest % 1000:03}")
        rest //= 1000
    partial = f".p/{width}" if width < 256 else ""
    return f"tile/{level}/{'/'.join(groups)}{partial}"


def tiles(directory, hashes):
    """Each tile of each level, as the tree has it."""
    level = 0
    while hashes:
        for index in range(0, (len(hashes) + 255) // 256):
            wanted = hashes[index * 256 : (index + 1) * 256]
            path = tile_path(level, index, len(wanted))
            with open(os.path.join(directory, path), "rb") as file:
                need(file.read() == b"".join(wanted), f"{path} is not the tree's")
        full = len(hashes) // 256
        hashes = [root(hashes[n * 256 : (n + 1) * 256]) for n in range(full)]
        level += 1


def inclusion(index, size, hash_, path, head):
    """RFC 9162, section 2.1.3.2."""
    need(index < size, "the proof is of no record")
    fn, sn, r = index, size - 1, hash_
    for p in path:
        need(sn > 0, "the proof is too long")
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0 and r == head, "the proof does not lead to the checkpoint")


def proof(text, vkey, lines):
    lead, note = text.split("\n\n", 1)
    kind, index, *path = lead.split("\n")
    need(kind == "c2sp.org/tlog-proof@v1" and index.startswith("index "), "it is no proof")
    index = int(index[len("index ") :])
    size, head = checkpoint(note, vkey)
    path = [base64.b64decode(hash_, validate=True) for hash_ in path]
    inclusion(index, size, leaf(lines[index]), path, head)


def main(directory, vkey, proof_file=None, note=None, witness=None):
    lines = list(records(directory))
    for seq, line in enumerate(lines):
        need(json.loads(line)["seq"] == seq, f"record {seq} is not where it belongs")
    with open(os.path.join(directory, "checkpoint"), encoding="utf-8") as file:
        size, head = checkpoint(file.read(), vkey)
    need(size <= len(lines), f"{size} records are signed, and {len(lines)} are there")
    hashes = [leaf(line) for line in lines[:size]]
    need(root(hashes) == head, "the records are not those that were signed")
    tiles(directory, hashes)
    if proof_file == "--cosigned":
        with open(note, encoding="utf-8") as file:
            cosigned(file.read(), vkey, witness, [leaf(line) for line in lines])
    elif proof_file:
        with open(proof_file, encoding="utf-8") as file:
            proof(file.read(), vkey, lines)
    print(f"whole: {size} records, {len(lines) - size} after them")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (Wrong, OSError, ValueError) as error:
        sys.exit(f"NOT WHOLE: {error}")
