//! Paths in a site.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::manifest::decode::{Decode, Decoder};
use crate::manifest::paths::absolute;
use crate::manifest::tree::Node;

/// A path of this host, absolute and normal: the directory that hushpipe runs in does not change it.
#[derive(Clone, Debug)]
pub struct SitePath(pub PathBuf);

impl Decode for SitePath {
    const WANTED: &'static str = "an absolute path such as /etc/hushpipe/approvers";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.parsed(node, Self::WANTED, |text| absolute(text).map(Self))
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^/" })
    }
}
