//! A store as small as one can be, which keeps versions and is polled: this file, and one line in
//! src/stores/mod.rs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::{
    Fault, Fetched, Local, Past, Store, StoreError, Watch, WatchEvent, Watched, numbered, poll,
};
use crate::model::{Refresh, Source, StoreName, ValueFormat, Version, VersionRef};
use crate::secret::{SecretBytes, Value};

/// Values by key; the last of each is current.
#[derive(Clone, Default)]
struct Shelf(Rc<RefCell<BTreeMap<String, Vec<&'static str>>>>);

impl Shelf {
    fn put(&self, key: &str, value: &'static str) {
        let mut values = self.0.borrow_mut();
        values.entry(key.to_owned()).or_default().push(value);
    }

    fn get(&self, source: &Source) -> Result<Fetched, StoreError> {
        let fault = |fault| StoreError {
            store: source.store.clone(),
            asked: source.key.clone(),
            fault,
        };
        let values = self.0.borrow();
        let values = values.get(source.key.as_deref().unwrap_or_default());
        let count = values.map_or(0, Vec::len) as u64;
        let asked = source.version.as_ref().map(numbered::number).transpose();
        let number = asked.map_err(fault)?.unwrap_or(count);
        let found = values.and_then(|values| values.get(number.checked_sub(1)? as usize));
        let hint = "there is no such value".to_owned();
        let value = found.ok_or_else(|| fault(Fault::Missing { hint }))?;
        Ok(Fetched {
            value: Value::bytes(SecretBytes::new(value.as_bytes().to_vec())),
            version: numbered::named(number),
        })
    }
}

impl Store for Shelf {
    fn fetch<'a>(&'a self, source: &'a Source) -> Local<'a, Result<Fetched, StoreError>> {
        Box::pin(async move { self.get(source) })
    }

    fn version<'a>(&'a self, source: &'a Source) -> Local<'a, Result<Version, StoreError>> {
        Box::pin(async move { Ok(self.get(source)?.version) })
    }

    fn watch(&self, sources: &[Watched]) -> Result<Option<Box<dyn Watch>>, StoreError> {
        let shelf = self.clone();
        Ok(poll::versions(sources, move |source| {
            let shelf = shelf.clone();
            Box::pin(async move { shelf.version(&source).await })
        }))
    }

    fn past(&self, _: &Source, version: &Version) -> Option<Past> {
        numbered::past(version)
    }
}

fn source(key: &str, version: Option<VersionRef>) -> Source {
    Source {
        store: StoreName::new("shelf").unwrap(),
        key: Some(key.to_owned()),
        version,
        request: None,
        format: ValueFormat::Raw,
    }
}

#[tokio::test]
async fn a_polled_store_reports_which_source_changed_and_what_came_before() {
    let shelf = Shelf::default();
    shelf.put("a", "one");
    shelf.put("b", "one");
    let watched = ["a", "b"].map(|key| Watched {
        reads: true,
        source: source(key, None),
        refresh: Refresh::Every(Duration::from_millis(20)),
    });
    let mut watch = shelf.watch(&watched).unwrap().expect("it polls");
    assert!(watch.polls() && watch.due().is_some());
    // What the first look finds.
    let mut found = Vec::new();
    while found.len() < 2 {
        match watch.changed().await {
            Ok(WatchEvent::Changed(places)) => found.extend(places),
            other => panic!("{other:?}"),
        }
    }
    shelf.put("b", "two");
    let changed = watch.changed().await;
    assert!(
        matches!(&changed, Ok(WatchEvent::Changed(places)) if places == &[1]),
        "{changed:?}"
    );
    let fetched = shelf.fetch(&watched[1].source).await.ok().unwrap();
    assert_eq!(fetched.version.0, "v2");
    let past = shelf.past(&watched[1].source, &fetched.version).unwrap();
    let before = source("b", past.before);
    let before = shelf.fetch(&before).await.ok().unwrap();
    assert!(
        before
            .value
            .raw()
            .unwrap()
            .same(&SecretBytes::new(b"one".to_vec()))
    );
    assert!(shelf.leases().is_none());
}
