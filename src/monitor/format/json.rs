//! Plain JSON: a list of objects, each with the record as it is in the log.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::monitor::item::Item;

#[derive(Serialize)]
struct Row<'a> {
    id: String,
    duplicate: bool,
    record: Option<&'a RawValue>,
}

/// A body of `application/json`.
pub fn body(items: &[Item]) -> Vec<u8> {
    let rows: Vec<Row<'_>> = items
        .iter()
        .map(|item| Row {
            id: item.id(),
            duplicate: item.duplicate,
            record: item.raw(),
        })
        .collect();
    serde_json::to_vec(&rows).expect("strings and JSON are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Entry, Kind};
    use crate::monitor::item::tests::of;

    #[test]
    fn a_record_is_in_it_byte_for_byte() {
        let mut items = [of(Entry::new(Kind::Start)), of(Entry::new(Kind::End))];
        items[1].duplicate = true;
        let text = String::from_utf8(body(&items)).unwrap();
        let wanted = format!(
            "[{{\"id\":\"web1/12\",\"duplicate\":false,\"record\":{}}},{{\"id\":\"web1/12\",\
             \"duplicate\":true,\"record\":{}}}]",
            items[0].text(),
            items[1].text()
        );
        assert_eq!(text, wanted);
    }
}
