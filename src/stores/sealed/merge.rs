//! Merging two states of a store that were written apart from each other, as on two branches of git.

use std::collections::{BTreeMap, BTreeSet};

use super::index::{Entry, FileDigest, Index, Secret, Signed, digest};
use super::write::Writing;
use super::{Key, SealedStore, age_file, refused, unwritable};
use crate::stores::{Fault, StoreError};

/// The texts of the three indexes.
pub struct Sides {
    /// What both began with; `None`: nothing.
    pub base: Option<String>,
    /// Of this side: its version keeps its number where both set one.
    pub ours: String,
    /// Of the other side.
    pub theirs: String,
}

/// What [`SealedStore::merge`] did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Secrets that both sides set: the version that is current, and the one that theirs became.
    pub moved: Vec<(Key, u64, u64)>,
    /// Recipients whom only one side knew.
    pub new: Vec<String>,
}

/// Gives the bytes of a version's file that has this digest.
pub type Fetch<'a> = dyn Fn(&Key, u64, &FileDigest) -> Option<Vec<u8>> + 'a;

/// A version of theirs, and the number that it gets here.
struct Move {
    name: String,
    from: u64,
    entry: Entry,
    to: u64,
}

struct Plan {
    index: Index,
    moves: Vec<Move>,
    /// Whom the one who merges lets in.
    new: Vec<String>,
}

impl SealedStore {
    /// Merges both sides: every version of either is kept. Writes files that are not the right ones here,
    /// from what `fetch` gives, then the index.
    pub fn merge(&self, sides: &Sides, fetch: &Fetch) -> Result<Merged, StoreError> {
        let merge = || {
            let plan = self.planned(sides)?;
            self.carry_out(plan, fetch)
        };
        merge().map_err(|fault| self.error(None, fault))
    }

    /// The text of the merged index alone, for git's merge driver. `None`: both sides set a version of
    /// the same secret, or let somebody in or out, which takes the files as well.
    pub fn merge_index(&self, sides: &Sides) -> Result<Option<String>, StoreError> {
        let merge = || {
            let plan = self.planned(sides)?;
            if !plan.moves.is_empty() || !plan.new.is_empty() {
                return Ok(None);
            }
            let mut writing = Writing::merging(self, plan.index)?;
            writing.signed().map(Some)
        };
        merge().map_err(|fault| self.error(None, fault))
    }

    fn planned(&self, sides: &Sides) -> Result<Plan, Fault> {
        let base = sides.base.as_ref().and_then(|text| Signed::parse(text));
        let base = base.filter(Signed::is_genuine).map(|base| base.index);
        let ours = self.side(&sides.ours, "this side")?;
        let theirs = self.side(&sides.theirs, "the other side")?;
        if ours.index.store != theirs.index.store {
            return Err(self.denied("the two sides are different stores: they cannot be merged"));
        }
        let remembered = self.recall()?;
        let known = remembered.filter(|known| known.store == ours.index.store);
        let (members, number) = match (&known, &base) {
            (Some(known), _) => (known.members.clone(), known.number),
            (None, Some(base)) => (base.members.keys().cloned().collect(), base.number),
            (None, None) => (ours.index.members.keys().cloned().collect(), 0),
        };
        // A side may be older than what is known: whom it knew by then counts.
        let since = base.as_ref().map_or(number, |base| number.min(base.number));
        for side in [&ours, &theirs] {
            let trusted = side.index.vouched_for(&members, since);
            if !trusted.contains(&side.signer) && !self.accepts.get() {
                return Err(self.denied(&format!(
                    "one side is signed by {}, whom no recipient that this host knows let in. If that \
                     is as it should be, repeat with --accept-store once",
                    side.signer
                )));
            }
        }
        let mut plan = plan(base.as_ref(), &ours.index, &theirs.index);
        plan.index.number = plan.index.number.max(number);
        Ok(plan)
    }

    fn side(&self, text: &str, which: &str) -> Result<Signed, Fault> {
        let signed = Signed::parse(text).filter(Signed::is_genuine);
        signed
            .ok_or_else(|| self.denied(&format!("the index of {which} is not one, or not signed")))
    }

    fn carry_out(&self, plan: Plan, fetch: &Fetch) -> Result<Merged, Fault> {
        let names: BTreeSet<String> = plan.index.secrets.keys().cloned().collect();
        let mut writing = Writing::merging(self, plan.index)?;
        let mut members: Vec<String> = writing.index.members.keys().cloned().collect();
        members.extend(plan.new.iter().cloned());
        writing.set_members(&members)?;
        writing.check_signer()?;
        let recipients = self.recipients()?;
        let recipients = recipients
            .only(|one| writing.index.members.contains_key(one))
            .ok_or_else(|| self.denied("recipients.txt names none of its recipients"))?;
        let mut merged = Merged {
            new: plan.new,
            ..Merged::default()
        };
        let mut staged = BTreeMap::new();
        for name in &names {
            let Ok(key) = Key::parse(name) else { continue };
            if let Some(versions) = self.bring(&mut writing, &key, fetch)? {
                staged.insert(name.clone(), versions);
            }
        }
        for one in &plan.moves {
            let Ok(key) = Key::parse(&one.name) else {
                continue;
            };
            let bytes = fetch(&key, one.from, &one.entry.digest);
            let bytes = bytes.ok_or_else(|| missing(&key, one.from))?;
            let file = self.versions(&key)?.file(one.from);
            let opened =
                self.opened(|parsed| age_file::open(&file, &bytes, parsed, &self.identity_file));
            let value = opened?.0;
            let (locked, versions) = staged.get_mut(&one.name).ok_or_else(|| self.missing())?;
            writing.stage(&key, one.to, &value, &recipients, locked, None)?;
            versions.push(one.to);
            let current = writing.secret(&key).current;
            merged.moved.push((key, current, one.to));
        }
        writing.commit()?;
        for (name, (locked, versions)) in staged {
            let Ok(key) = Key::parse(&name) else { continue };
            let path = self.place_of(&key);
            let cannot = |source| unwritable(&path, source);
            for version in versions {
                locked.promote(version).map_err(cannot)?;
            }
            let secret = writing.secret(&key).clone();
            locked
                .keep_only(|version| secret.versions.contains_key(&version))
                .map_err(cannot)?;
            locked.point_to(secret.current).map_err(cannot)?;
        }
        Ok(merged)
    }

    /// Stages the files of a secret that are not the right ones here; gives which.
    fn bring(
        &self,
        writing: &mut Writing,
        key: &Key,
        fetch: &Fetch,
    ) -> Result<Option<(super::versions::Locked, Vec<u64>)>, Fault> {
        self.check_place(key)?;
        let versions = self.versions(key)?;
        let cannot = |source| unwritable(versions.path(), source);
        let secret = writing.secret(key).clone();
        if secret.is_removed() {
            if let Some(locked) = versions.lock().map_err(cannot)? {
                locked.remove().map_err(cannot)?;
            }
            return Ok(None);
        }
        let locked = versions.lock_or_make().map_err(cannot)?;
        let mut staged = Vec::new();
        for (version, entry) in &secret.versions {
            let there = self.read_sealed(&versions.file(*version));
            if there.is_ok_and(|bytes| digest(&bytes) == entry.digest) {
                continue;
            }
            let bytes = fetch(key, *version, &entry.digest);
            let bytes = bytes.filter(|bytes| digest(bytes) == entry.digest);
            let bytes = bytes.ok_or_else(|| missing(key, *version))?;
            locked.stage(*version, &bytes, None).map_err(cannot)?;
            staged.push(*version);
        }
        Ok(Some((locked, staged)))
    }
}

fn missing(key: &Key, version: u64) -> Fault {
    refused(format!(
        "the file of {key}, version {version}, is neither here nor in git: restore it, then merge again"
    ))
}

fn plan(base: Option<&Index>, ours: &Index, theirs: &Index) -> Plan {
    let mut index = ours.clone();
    index.number = ours.number.max(theirs.number);
    let new = merge_members(base, theirs, &mut index);
    let mut moves = Vec::new();
    let empty = Secret::default();
    let names: BTreeSet<&String> = ours.secrets.keys().chain(theirs.secrets.keys()).collect();
    for name in names {
        let of = |index: &Index| index.secrets.get(name).cloned();
        let base = base.and_then(of);
        let (mine, other) = (of(ours), of(theirs));
        let merged = if mine == base {
            other.unwrap_or_default()
        } else if other == base || other.as_ref().is_none_or(Secret::is_removed) {
            mine.unwrap_or_default()
        } else if mine.as_ref().is_none_or(Secret::is_removed) {
            other.unwrap_or_default()
        } else {
            let base = base.as_ref().unwrap_or(&empty);
            let (mine, other) = (mine.unwrap_or_default(), other.unwrap_or_default());
            merge_secret(name, base, &mine, &other, &mut moves)
        };
        index.secrets.insert(name.clone(), merged);
    }
    Plan { index, moves, new }
}

/// Takes those out whom either side took out, and gives those whom one side alone let in: they are let in
/// anew.
fn merge_members(base: Option<&Index>, theirs: &Index, index: &mut Index) -> Vec<String> {
    let was = |one: &str| base.is_some_and(|base| base.members.contains_key(one));
    let ours: BTreeSet<String> = index.members.keys().cloned().collect();
    let only_ours = ours.iter().filter(|one| !theirs.members.contains_key(*one));
    let only_theirs = theirs.members.keys().filter(|one| !ours.contains(*one));
    let mut new = Vec::new();
    for one in only_ours.chain(only_theirs) {
        index.members.remove(one);
        if !was(one) {
            new.push(one.clone());
        }
    }
    new
}

/// A secret that both sides changed.
fn merge_secret(
    name: &str,
    base: &Secret,
    mine: &Secret,
    theirs: &Secret,
    moves: &mut Vec<Move>,
) -> Secret {
    let mut merged = mine.clone();
    let mut next = mine.next().max(theirs.next());
    for (version, entry) in &theirs.versions {
        let Some(ours) = mine.versions.get(version) else {
            merged.versions.insert(*version, *entry);
            continue;
        };
        match base.versions.get(version) {
            _ if ours == entry => {}
            // Sealed anew by one side, or by both: the same value.
            Some(before) => {
                if ours == before {
                    merged.versions.insert(*version, *entry);
                }
            }
            None => {
                let (name, from, entry) = (name.to_owned(), *version, *entry);
                let to = next;
                moves.push(Move {
                    name,
                    from,
                    entry,
                    to,
                });
                next += 1;
            }
        }
    }
    if mine.current == base.current {
        merged.current = theirs.current;
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::super::index::StoreId;
    use super::*;

    type Row<'a> = (&'a str, u64, &'a [(u64, u8)]);

    fn index(number: u64, secrets: &[Row]) -> Index {
        let mut index = Index::new(StoreId([1; 16]));
        index.number = number;
        for (name, current, versions) in secrets {
            let mut secret = Secret {
                current: *current,
                ..Secret::default()
            };
            for (version, byte) in *versions {
                let digest = [*byte; 32];
                let bound = true;
                secret.versions.insert(*version, Entry { digest, bound });
            }
            index.secrets.insert((*name).to_owned(), secret);
        }
        index
    }

    fn merged(base: &Index, ours: &Index, theirs: &Index) -> (Index, Vec<(String, u64, u64)>) {
        let plan = plan(Some(base), ours, theirs);
        let moves = plan.moves.into_iter();
        let moves = moves.map(|one| (one.name, one.from, one.to)).collect();
        (plan.index, moves)
    }

    #[test]
    fn different_secrets_are_both_taken() {
        let base = index(3, &[("a", 1, &[(1, 1)])]);
        let ours = index(4, &[("a", 1, &[(1, 1)]), ("b", 1, &[(1, 2)])]);
        let theirs = index(5, &[("a", 2, &[(1, 1), (2, 3)]), ("c", 1, &[(1, 4)])]);
        let (found, moves) = merged(&base, &ours, &theirs);
        let expected = [
            ("a", 2, &[(1, 1), (2, 3)][..]),
            ("b", 1, &[(1, 2)]),
            ("c", 1, &[(1, 4)]),
        ];
        assert_eq!(found, index(5, &expected));
        assert!(moves.is_empty());
    }

    #[test]
    fn where_both_set_a_secret_ours_is_current_and_theirs_a_version_of_its_own() {
        let base = index(3, &[("a", 1, &[(1, 1)])]);
        let ours = index(4, &[("a", 2, &[(1, 1), (2, 2)])]);
        let theirs = index(4, &[("a", 3, &[(1, 1), (2, 7), (3, 8)])]);
        let (found, moves) = merged(&base, &ours, &theirs);
        assert_eq!(found, index(4, &[("a", 2, &[(1, 1), (2, 2), (3, 8)])]));
        assert_eq!(moves, [("a".to_owned(), 2, 4)]);
    }

    #[test]
    fn removals_and_rollbacks_of_one_side_are_kept() {
        let base = index(3, &[("a", 2, &[(1, 1), (2, 2)]), ("b", 1, &[(1, 1)])]);
        let ours = index(4, &[("a", 1, &[(1, 1), (2, 2)]), ("b", 1, &[(1, 1)])]);
        let theirs = index(4, &[("a", 2, &[(1, 1), (2, 2)]), ("b", 0, &[])]);
        let expected = index(4, &[("a", 1, &[(1, 1), (2, 2)]), ("b", 0, &[])]);
        assert_eq!(merged(&base, &ours, &theirs), (expected.clone(), vec![]));
        assert_eq!(merged(&base, &theirs, &ours), (expected, vec![]));
        // Removed by one, set by the other: what was set is kept.
        let set = index(
            4,
            &[("a", 2, &[(1, 1), (2, 2)]), ("b", 2, &[(1, 1), (2, 9)])],
        );
        let (found, _) = merged(&base, &theirs, &set);
        assert_eq!(found.secrets["b"].current, 2);
    }
}
