//! The graph for Graphviz: dot(1). Nodes of one kind are in one column; edges are drawn once, as wide as the
//! number of uses behind them says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::graph::Graph;

/// A column and the number of a node in it.
type Node = (char, u32);

/// What stands between `"` in dot's language. Names are printable already.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

impl Graph {
    /// In dot's language.
    pub fn dot(&self) -> String {
        let mut out = String::from(
            "digraph hushpipe {\n  rankdir=LR\n  node [shape=box, fontname=\"sans-serif\"]\n",
        );
        let mut nodes: BTreeMap<Node, String> = BTreeMap::new();
        let mut edges: BTreeMap<(Node, Node), u64> = BTreeMap::new();
        let mut owners: BTreeMap<&str, u32> = BTreeMap::new();
        for it in &self.uses {
            let secret = &self.secrets[it.secret as usize];
            let count = owners.len() as u32;
            let owner = *owners.entry(&secret.owner).or_insert(count);
            let path = [
                Some(('o', owner)),
                Some(('s', secret.store)),
                Some(('k', it.secret)),
                Some(('v', it.service)),
                Some(('d', it.delivery)),
                it.program.map(|at| ('p', at)),
                it.host.map(|at| ('h', at)),
            ];
            let path: Vec<Node> = path.into_iter().flatten().collect();
            for node in &path {
                nodes
                    .entry(*node)
                    .or_insert_with(|| self.label(*node, &secret.owner));
            }
            for pair in path.windows(2) {
                *edges.entry((pair[0], pair[1])).or_default() += 1;
            }
        }
        for ((kind, at), label) in &nodes {
            writeln!(out, "  {kind}{at} [label={}]", quoted(label)).expect("Strings are written");
        }
        for (((from, a), (to, b)), uses) in &edges {
            // Half a point for each doubling.
            let width = 1.0 + f64::from(uses.ilog2()) / 2.0;
            writeln!(out, "  {from}{a} -> {to}{b} [penwidth={width:.1}]")
                .expect("Strings are written");
        }
        out.push_str("}\n");
        out
    }

    fn label(&self, (kind, at): Node, owner: &str) -> String {
        let at = at as usize;
        let named = |name: &str, environment: &str| match environment {
            "" => name.to_owned(),
            environment => format!("{name} ({environment})"),
        };
        match kind {
            'o' if owner.is_empty() => "no owner".to_owned(),
            'o' => owner.to_owned(),
            's' => self.stores[at].name.clone(),
            'k' => named(&self.secrets[at].name, &self.secrets[at].environment),
            'v' => named(&self.services[at].name, &self.services[at].environment),
            'd' => self.deliveries[at].clone(),
            'p' => self.programs[at].path.clone(),
            _ => self.hosts[at].name.clone(),
        }
    }
}
