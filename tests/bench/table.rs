//! The table of what was measured.

/// What a figure depends on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The program alone: the same on every machine.
    Counted,
    /// How many of the program's pages the kernel has read ahead, as well.
    Resident,
    /// What else the machine does, as well.
    Timed,
}

/// A figure, and the most it should be.
pub struct Row {
    name: String,
    value: f64,
    target: Option<(f64, Kind)>,
}

impl Row {
    /// A time or a ratio of times that has a target.
    pub fn timed(name: impl Into<String>, value: f64, target: f64) -> Self {
        Self {
            name: name.into(),
            value,
            target: Some((target, Kind::Timed)),
        }
    }

    /// A size or a number that has a target.
    pub fn counted(name: impl Into<String>, value: f64, target: f64) -> Self {
        Self {
            name: name.into(),
            value,
            target: Some((target, Kind::Counted)),
        }
    }

    /// Memory that has a target.
    pub fn resident(name: impl Into<String>, value: f64, target: f64) -> Self {
        Self {
            name: name.into(),
            value,
            target: Some((target, Kind::Resident)),
        }
    }

    /// A figure that helps to read the others.
    pub fn info(name: impl Into<String>, value: f64) -> Self {
        Self {
            name: name.into(),
            value,
            target: None,
        }
    }

    /// Whether the target is missed: memory, and what is timed if that is asked for, by more than the
    /// machine explains.
    pub fn is_missed_clearly(&self, with_times: bool) -> bool {
        self.target.is_some_and(|(target, kind)| match kind {
            Kind::Counted => self.value > target,
            Kind::Resident => self.value > target * 1.1,
            Kind::Timed => with_times && self.value > target * 1.1,
        })
    }
}

/// Prints all rows, and a verdict for those that have a target.
pub fn print(rows: &[Row]) {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    println!("{:width$}  {:>9}  {:>7}", "", "measured", "target");
    for row in rows {
        let verdict = match row.target {
            None => String::new(),
            Some((target, _)) if row.value <= target => format!("  {target:>7.2}  holds"),
            Some((target, _)) => format!("  {target:>7.2}  MISSED"),
        };
        println!("{:width$}  {:>9.3}{verdict}", row.name, row.value);
    }
}

/// The value that this part of all is not above.
pub fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = ((values.len() as f64 * part).ceil() as usize).clamp(1, values.len());
    values[at - 1]
}
