//! The tree against the vectors of Certificate Transparency, against itself, and by RFC 6962's own
//! definition.

use std::collections::BTreeMap;
use std::convert::Infallible;

use crate::audit::tiles::{Edge, HEIGHT, Tile, WIDTH};
use crate::audit::tree::{self, Hash, Nodes};

/// The eight leaves, and the roots of the trees that they make, of certificate-transparency-go and
/// google/trillian (`merkle/testonly`).
const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn hex(hash: &[u8]) -> String {
    crate::model::Sha256(hash.try_into().expect("a hash has 32 bytes")).to_string()
}

/// MTH of RFC 6962, section 2.1, to the letter.
fn defined(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => tree::empty(),
        [one] => *one,
        many => {
            let mut k = 1;
            while k * 2 < many.len() {
                k *= 2;
            }
            tree::node(&defined(&many[..k]), &defined(&many[k..]))
        }
    }
}

struct Leaves<'a>(&'a [Hash]);

impl Nodes for Leaves<'_> {
    type Error = Infallible;

    fn node(&self, level: u32, index: u64) -> Result<Hash, Infallible> {
        let (start, end) = ((index << level) as usize, ((index + 1) << level) as usize);
        Ok(defined(&self.0[start..end]))
    }
}

fn some(count: u64) -> Vec<Hash> {
    (0..count)
        .map(|number| tree::leaf(&number.to_be_bytes()))
        .collect()
}

fn edge(leaves: &[Hash]) -> (Edge, BTreeMap<Tile, Vec<Hash>>) {
    let (mut edge, mut full) = (Edge::default(), BTreeMap::new());
    for leaf in leaves {
        edge.push(*leaf, &mut |tile, hashes: &[Hash]| {
            full.insert(tile, hashes.to_vec());
        });
    }
    (edge, full)
}

#[test]
fn the_vectors_of_certificate_transparency_hold() {
    assert_eq!(
        hex(&tree::empty()),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    let leaves: Vec<Hash> = LEAVES.map(|leaf| tree::leaf(&unhex(leaf))).to_vec();
    for (count, root) in (1..).zip(ROOTS) {
        assert_eq!(hex(&edge(&leaves[..count]).0.root()), root);
        assert_eq!(
            hex(&tree::root(&Leaves(&leaves), count as u64).unwrap()),
            root
        );
    }
    let path = tree::inclusion(&Leaves(&leaves), 5, 8).unwrap();
    let wanted = [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert_eq!(
        path.iter().map(|hash| hex(hash)).collect::<Vec<_>>(),
        wanted
    );
    let proof = tree::consistency(&Leaves(&leaves), 6, 8).unwrap();
    let wanted = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert_eq!(
        proof.iter().map(|hash| hex(hash)).collect::<Vec<_>>(),
        wanted
    );
}

#[test]
fn every_proof_of_small_trees_verifies_and_no_other_does() {
    let leaves = some(40);
    for size in 1..=40 {
        let root = defined(&leaves[..size as usize]);
        for index in 0..size {
            let mut path = tree::inclusion(&Leaves(&leaves), index, size).unwrap();
            let leaf = &leaves[index as usize];
            assert!(tree::includes(leaf, index, (size, &root), &path));
            assert!(!tree::includes(leaf, index + 1, (size, &root), &path));
            assert!(!tree::includes(&root, index, (size, &root), &path) || size == 1);
            path.push(root);
            assert!(!tree::includes(leaf, index, (size, &root), &path));
            path.truncate(path.len().saturating_sub(2));
            assert!(!tree::includes(leaf, index, (size, &root), &path) || size == 1);
        }
        for old in 1..=size {
            let old_root = defined(&leaves[..old as usize]);
            let mut proof = tree::consistency(&Leaves(&leaves), old, size).unwrap();
            assert!(tree::extends((old, &old_root), (size, &root), &proof));
            if old != size {
                assert!(!tree::extends((old, &root), (size, &root), &proof));
                assert!(!tree::extends((old, &old_root), (size, &old_root), &proof));
            }
            proof.push(root);
            assert!(!tree::extends((old, &old_root), (size, &root), &proof));
        }
    }
}

#[test]
fn the_edge_has_the_root_and_the_tiles_of_its_tree() {
    let leaves = some(70_000);
    let (edge, full) = edge(&leaves);
    assert_eq!(edge.root(), defined(&leaves));
    // The example of the specification: 273 and a partial one of 112, one and one of 17, one of 1.
    let of = |level| full.keys().filter(|tile| tile.level == level).count();
    assert_eq!((of(0), of(1), of(2)), (273, 1, 0));
    let widths: Vec<_> = edge
        .partial()
        .map(|(tile, _)| (tile.level, tile.index, tile.width))
        .collect();
    assert_eq!(widths, [(0, 273, 112), (1, 1, 17), (2, 0, 1)]);
    for (tile, hashes) in full
        .iter()
        .map(|(tile, hashes)| (*tile, hashes.as_slice()))
        .chain(edge.partial())
    {
        assert_eq!(tile.width, hashes.len());
        let each = 1_usize << (HEIGHT * u32::from(tile.level));
        let start = tile.index as usize * WIDTH * each;
        assert_eq!(hashes[0], defined(&leaves[start..start + each]));
    }
    for size in [0, 1, 255, 256, 257, 511, 512, 65_535, 65_536] {
        assert_eq!(
            self::edge(&leaves[..size]).0.root(),
            defined(&leaves[..size])
        );
    }
}

#[test]
fn paths_are_those_of_the_specification() {
    assert_eq!(Tile::full(0, 1_234_067).path(), "tile/0/x001/x234/067");
    assert_eq!(Tile::full(0, 0).path(), "tile/0/000");
    assert_eq!(Tile::full(1, 999).path(), "tile/1/999");
    assert_eq!(Tile::full(1, 1000).path(), "tile/1/x001/000");
    let partial = Tile::partial(0, 70_000).unwrap();
    assert_eq!(partial.path(), "tile/0/273.p/112");
    assert_eq!(Tile::partial(0, 256), None);
    assert_eq!(Tile::partial(1, 256).unwrap().path(), "tile/1/000.p/1");
    assert_eq!((Tile::count(0, 70_000), Tile::count(1, 70_000)), (273, 1));
    assert_eq!(
        (Tile::count(7, u64::MAX), Tile::partial(9, u64::MAX)),
        (0, None)
    );
}
