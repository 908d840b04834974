//! What an init must do: each case put to hushpipe, as PID 1 and as a child, and compared with
//! `table.md`. A case where hushpipe is not right fails, and so does one where it does something else
//! than the table says. With `HUSHPIPE_LONG` or `UPDATE_GOLDEN`, each case is put to tini and dumb-init
//! as well, which no change of hushpipe changes. `tests/compliance/run` prints what they did;
//! `UPDATE_GOLDEN=1` writes it to the table, with what is right left as it is.

mod ends;
mod inherited;
mod inits;
mod orphans;
mod running;
mod screen;
mod signals;
mod storms;
mod table;
mod terminals;

use std::thread;

use inits::{Init, Position, Subject};
use table::{Row, Table};

/// A case, and where the init stands in it.
struct Case {
    name: &'static str,
    positions: &'static [Position],
    /// What the init does, in few words.
    measure: fn(&Subject) -> String,
}

impl Case {
    const fn everywhere(name: &'static str, measure: fn(&Subject) -> String) -> Self {
        Self {
            name,
            positions: &[Position::Child, Position::Pid1],
            measure,
        }
    }

    const fn as_child(name: &'static str, measure: fn(&Subject) -> String) -> Self {
        Self {
            name,
            positions: &[Position::Child],
            measure,
        }
    }

    const fn as_pid_1(name: &'static str, measure: fn(&Subject) -> String) -> Self {
        Self {
            name,
            positions: &[Position::Pid1],
            measure,
        }
    }

    fn title(&self, position: Position) -> String {
        match position {
            Position::Child => self.name.to_owned(),
            Position::Pid1 => format!("{}, as PID 1", self.name),
        }
    }

    /// What each of the three does: of those that are not asked, what the table says.
    fn row(&self, position: Position, table: &Table) -> Row {
        let title = self.title(position);
        let cells = thread::scope(|scope| {
            let started = Init::ALL.map(|init| {
                let expected = table.cell(&title, init);
                if !init.is_asked() {
                    return Err(expected.unwrap_or_default());
                }
                let subject = Subject {
                    init,
                    position,
                    expected,
                };
                Ok(scope.spawn(move || (self.measure)(&subject)))
            });
            started.map(|one| match one {
                Ok(one) => one.join().unwrap_or_else(|_| panic!("{title}")),
                Err(expected) => expected,
            })
        });
        Row::new(title, table, cells)
    }
}

/// All cases, by the test that puts them.
const GROUPS: &[&[Case]] = &[
    ends::CASES,
    signals::CASES,
    orphans::CASES,
    inherited::CASES,
    terminals::CASES,
    storms::CASES,
];

/// The titles of all rows, in order.
fn titles() -> Vec<String> {
    let cases = GROUPS.iter().copied().flatten();
    let titles = cases.flat_map(|case| case.positions.iter().map(|at| case.title(*at)));
    titles.collect()
}

fn judge(cases: &[Case]) {
    let table = Table::read();
    let rows = cases
        .iter()
        .flat_map(|case| case.positions.iter().map(|at| case.row(*at, &table)));
    table::judge(&table, &rows.collect::<Vec<_>>());
}

#[test]
fn ends_are_told_exactly() {
    judge(ends::CASES);
}

#[test]
fn signals_go_where_they_should() {
    judge(signals::CASES);
}

#[test]
fn orphans_are_reaped_and_told() {
    judge(orphans::CASES);
}

#[test]
fn what_the_caller_set_up_is_kept() {
    judge(inherited::CASES);
}

#[test]
fn terminals_are_shared_rightly() {
    judge(terminals::CASES);
}

#[test]
fn storms_lose_nothing() {
    judge(storms::CASES);
}

#[test]
fn the_table_has_each_case_and_no_other() {
    assert_eq!(Table::read().titles(), titles());
}
