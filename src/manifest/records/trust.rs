//! `trust:` of stores.

use serde_json::{Value, json};

use crate::manifest::collections::List;
use crate::manifest::decode::{Decode, Decoder, or_variable, record};
use crate::manifest::tree::Node;

record! {
    /// Owners whose files and directories are trusted.
    TrustRecord("a mapping such as { owners: [1000] }") {
        /// User ids: the owner of a mounted secret (Docker Compose keeps the host's), for example. They
        /// can change what the program gets. Their links lead to files of their own alone.
        required owners "owners": List<Uid>;
    } elsewhere {}
}

impl TrustRecord {
    /// Those that could be read.
    pub fn uids(&self) -> Vec<u32> {
        let owners = self.owners.get().map(List::values).unwrap_or_default();
        owners.into_iter().map(|uid| uid.0).collect()
    }
}

/// The number of a user.
#[derive(Clone, Copy, Debug)]
pub struct Uid(pub u32);

impl Decode for Uid {
    const WANTED: &'static str = "a user id such as 1000";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.parsed(node, Self::WANTED, |text| {
            let plain = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|uid| plain && *uid != u32::MAX);
            number.map(Self).ok_or("it is not a user id")
        })
    }

    fn schema() -> Value {
        or_variable(&json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX - 1 }))
    }
}
