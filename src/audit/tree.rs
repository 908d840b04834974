//! The Merkle hash tree of RFC 6962, section 2.1: hashes, the right edge of a growing tree, proofs from
//! stored nodes, and their verification (RFC 9162, sections 2.1.3.2 and 2.1.4.2).

use ring::digest::{Context, SHA256, digest};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// The hash of a leaf: SHA-256(0x00 || entry).
pub fn leaf(entry: &[u8]) -> Hash {
    prefixed(0, &[entry])
}

/// The hash of a node: SHA-256(0x01 || left || right).
pub fn node(left: &Hash, right: &Hash) -> Hash {
    prefixed(1, &[left, right])
}

/// The hash of the tree without leaves: SHA-256 of nothing.
pub fn empty() -> Hash {
    bytes(&digest(&SHA256, b""))
}

fn prefixed(prefix: u8, parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[prefix]);
    for part in parts {
        context.update(part);
    }
    bytes(&context.finish())
}

fn bytes(digest: &ring::digest::Digest) -> Hash {
    digest.as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

/// The root over a power of two of hashes.
pub fn perfect(hashes: &[Hash]) -> Hash {
    debug_assert!(hashes.len().is_power_of_two());
    if let [one] = hashes {
        return *one;
    }
    let mut level: Vec<Hash> = pairs(hashes);
    while level.len() > 1 {
        level = pairs(&level);
    }
    level[0]
}

fn pairs(hashes: &[Hash]) -> Vec<Hash> {
    hashes
        .chunks_exact(2)
        .map(|pair| node(&pair[0], &pair[1]))
        .collect()
}

/// Joins perfect subtrees from the right to the left: `hashes` are the last ones of a level, fewer than are
/// joined to one of the next level.
pub fn join(hashes: &[Hash], right: Option<Hash>) -> Option<Hash> {
    let (mut end, mut joined) = (hashes.len(), right);
    while end > 0 {
        let width = 1 << end.trailing_zeros();
        let subtree = perfect(&hashes[end - width..end]);
        joined = Some(joined.map_or(subtree, |right| node(&subtree, &right)));
        end -= width;
    }
    joined
}

/// Stored nodes of a tree.
pub trait Nodes {
    /// Why one cannot be had.
    type Error;

    /// The root of the perfect subtree of the leaves `index << level .. (index + 1) << level`.
    fn node(&self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The root of the first `size` leaves.
pub fn root<N: Nodes>(nodes: &N, size: u64) -> Result<Hash, N::Error> {
    if size == 0 {
        return Ok(empty());
    }
    range(nodes, 0, size)
}

/// MTH(D[start:start+count]), where the tree has a node at `start` that is as large as `count`.
fn range<N: Nodes>(nodes: &N, start: u64, count: u64) -> Result<Hash, N::Error> {
    if count.is_power_of_two() {
        let level = count.trailing_zeros();
        return nodes.node(level, start >> level);
    }
    let left = split(count);
    let right = range(nodes, start + left, count - left)?;
    Ok(node(&range(nodes, start, left)?, &right))
}

/// The largest power of two that is smaller than `count`, which is at least 2.
const fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// `PATH(index, D[size])`: from the leaf's sibling up (RFC 6962, section 2.1.1).
pub fn inclusion<N: Nodes>(nodes: &N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let (mut start, mut count) = (0, size);
    let mut path = Vec::new();
    while count > 1 {
        let left = split(count);
        if index - start < left {
            path.push(range(nodes, start + left, count - left)?);
            count = left;
        } else {
            path.push(range(nodes, start, left)?);
            start += left;
            count -= left;
        }
    }
    path.reverse();
    Ok(path)
}

/// `PROOF(old, D[size])` (RFC 6962, section 2.1.2), for `0 < old <= size`.
pub fn consistency<N: Nodes>(nodes: &N, old: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let (mut start, mut count, mut old, mut whole) = (0, size, old, true);
    let mut proof = Vec::new();
    while old != count {
        let left = split(count);
        if old <= left {
            proof.push(range(nodes, start + left, count - left)?);
            count = left;
        } else {
            proof.push(range(nodes, start, left)?);
            start += left;
            (count, old, whole) = (count - left, old - left, false);
        }
    }
    if !whole {
        proof.push(range(nodes, start, count)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Whether a leaf is in the tree of that size and root (RFC 9162, section 2.1.3.2).
pub fn includes(leaf: &Hash, index: u64, (size, root): (u64, &Hash), path: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    let (mut climb, mut hash) = (Climb::new(index, size - 1), *leaf);
    for sibling in path {
        hash = match climb.up() {
            None => return false,
            Some(Side::Left) => node(sibling, &hash),
            Some(Side::Right) => node(&hash, sibling),
        };
    }
    climb.is_at_root() && hash == *root
}

/// The way from a node to the root, as both proofs are checked on it (RFC 9162, sections 2.1.3.2 and
/// 2.1.4.2: `fn` and `sn`).
struct Climb {
    place: u64,
    last: u64,
}

/// Where a sibling is.
enum Side {
    Left,
    Right,
}

impl Climb {
    const fn new(place: u64, last: u64) -> Self {
        Self { place, last }
    }

    const fn shift(&mut self) {
        self.place >>= 1;
        self.last >>= 1;
    }

    /// Goes up by the next sibling. `None`: it is at the root.
    const fn up(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let is_left = self.place & 1 == 1 || self.place == self.last;
        while is_left && self.place & 1 == 0 && self.place != 0 {
            self.shift();
        }
        self.shift();
        Some(if is_left { Side::Left } else { Side::Right })
    }

    const fn is_at_root(&self) -> bool {
        self.last == 0
    }
}

/// Whether a tree begins with an older one (RFC 9162, section 2.1.4.2). Each tree begins with the empty
/// one.
pub fn extends(old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]) -> bool {
    let ((old_size, old_root), (size, root)) = (old, new);
    if old_size > size || old_size == 0 || old_size == size {
        let same = old_size == size && old_root == root || old_size == 0 && *old_root == empty();
        return old_size <= size && proof.is_empty() && same;
    }
    let mut climb = Climb::new(old_size - 1, size - 1);
    let is_node = old_size.is_power_of_two();
    let mut hashes = proof.iter();
    let Some(first) = (if is_node {
        Some(old_root)
    } else {
        hashes.next()
    }) else {
        return false;
    };
    while climb.place & 1 == 1 {
        climb.shift();
    }
    let (mut old_hash, mut hash) = (*first, *first);
    for sibling in hashes {
        match climb.up() {
            None => return false,
            Some(Side::Left) => {
                old_hash = node(sibling, &old_hash);
                hash = node(sibling, &hash);
            }
            Some(Side::Right) => hash = node(&hash, sibling),
        }
    }
    climb.is_at_root() && old_hash == *old_root && hash == *root
}
