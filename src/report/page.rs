//! The graph as one page that needs nothing else: data, style and script are in it, and its own policy
//! (CSP, w3.org/TR/CSP3) lets it run that script alone, make no request and be sent nowhere.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use serde::Serialize;

use super::graph::{
    Approval, Finding, Graph, Host, PolicyUse, Program, Reveal, Secret, Service, Shared, Store,
};
use super::moment::Moment;

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
const BODY: &str = include_str!("page/page.html");

/// What the script reads: the graph, with its uses by column, as each name would be there for each of them.
#[derive(Serialize)]
struct Data<'g> {
    at: Moment,
    records: u64,
    hosts: &'g [Host],
    services: &'g [Service],
    stores: &'g [Store],
    secrets: &'g [Secret],
    programs: &'g [Program],
    deliveries: &'g [String],
    uses: Columns,
    policies: &'g [PolicyUse],
    approvals: &'g [Approval],
    reveals: &'g [Reveal],
    findings: &'g [Finding],
    shared: &'g [Shared],
}

/// Numbers of rows; -1: not known. Times in seconds; 0: never.
#[derive(Default, Serialize)]
struct Columns {
    secret: Vec<u32>,
    service: Vec<u32>,
    host: Vec<i64>,
    program: Vec<i64>,
    delivery: Vec<u32>,
    last: Vec<u64>,
    running: Vec<u8>,
}

impl<'g> Data<'g> {
    fn of(graph: &'g Graph) -> Self {
        let mut uses = Columns::default();
        for it in &graph.uses {
            uses.secret.push(it.secret);
            uses.service.push(it.service);
            uses.host.push(it.host.map_or(-1, i64::from));
            uses.program.push(it.program.map_or(-1, i64::from));
            uses.delivery.push(it.delivery);
            uses.last.push(it.last.0 / 1_000_000);
            uses.running.push(u8::from(it.running));
        }
        Self {
            at: graph.at,
            records: graph.records,
            hosts: &graph.hosts,
            services: &graph.services,
            stores: &graph.stores,
            secrets: &graph.secrets,
            programs: &graph.programs,
            deliveries: &graph.deliveries,
            uses,
            policies: &graph.policies,
            approvals: &graph.approvals,
            reveals: &graph.reveals,
            findings: &graph.findings,
            shared: &graph.shared,
        }
    }
}

/// JSON on its way into a script element: none of its bytes ends the element or begins a comment
/// (html.spec.whatwg.org, restrictions for contents of script elements).
struct Inert<W>(W);

impl<W: Write> Write for Inert<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while let Some(at) = rest
            .iter()
            .position(|byte| matches!(byte, b'<' | b'>' | b'&'))
        {
            self.0.write_all(&rest[..at])?;
            write!(self.0, "\\u{:04x}", rest[at])?;
            rest = &rest[at + 1..];
        }
        self.0.write_all(rest)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// What lets a page have this style or script, and no other.
pub fn allowed(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

/// What a page may do: nothing but what is in it.
pub fn policy(style: &str, script: Option<&str>) -> String {
    let script = script.map_or_else(|| "'none'".to_owned(), allowed);
    format!(
        "default-src 'none'; style-src {}; script-src {script}; base-uri 'none'; form-action 'none'",
        allowed(style)
    )
}

impl Graph {
    /// Writes the page.
    pub fn page(&self, to: &mut impl Write) -> io::Result<()> {
        let (head, rest) = BODY.split_once("{{ data }}").unwrap_or((BODY, ""));
        let head = head
            .replace("{{ policy }}", &policy(STYLE, Some(SCRIPT)))
            .replace("{{ style }}", STYLE);
        to.write_all(head.as_bytes())?;
        serde_json::to_writer(Inert(&mut *to), &Data::of(self))?;
        to.write_all(rest.replace("{{ script }}", SCRIPT).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_fit_and_nothing_is_fetched() {
        let mut page = Vec::new();
        Graph::default().page(&mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(!page.contains("{{"), "something was not filled in");
        assert_eq!(page.matches("</script>").count(), 2);
        for part in [STYLE, SCRIPT] {
            assert!(page.contains(part));
            assert!(!part.contains("</"), "it would end its element");
        }
        for word in [
            "http:",
            "src=",
            "href=",
            "url(",
            "@import",
            "innerHTML",
            "eval(",
        ] {
            assert!(
                !page
                    .replace("http://www.w3.org/2000/svg", "")
                    .contains(word),
                "{word}"
            );
        }
    }
}
