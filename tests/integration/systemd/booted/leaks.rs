//! What systemd and the kernel show of a service: never a value.

use super::machine::Machine;

/// Fails when a value that starts so is shown by systemctl, in the journal, or as a variable or an
/// argument of any process.
pub fn assert_none(machine: &Machine, unit: &str, start: &str) {
    assert_none_but(machine, unit, start, None);
}

/// As [`assert_none`], of a program that says it itself, with this before it.
pub fn assert_none_of(machine: &Machine, unit: &str, start: &str, own: &str) {
    assert_none_but(machine, unit, start, Some(own));
}

fn assert_none_but(machine: &Machine, unit: &str, start: &str, own: Option<&str>) {
    let shown = [
        machine.ok(&["systemctl", "show", "--all", unit]),
        machine.ok(&["systemctl", "status", "--full", "--lines=1000", unit]),
        machine.ok(&["journalctl", "--no-pager", "--all", "--output=export"]),
    ];
    for text in shown {
        let is_own = |line: &str| own.is_some_and(|own| line.contains(own));
        let mut lines = text.lines();
        let hit = lines.find(|line| line.contains(start) && !is_own(line));
        assert_eq!(hit, None, "of {unit}");
    }
    // tr(1) makes lines of them; processes may end meanwhile.
    let script = "for of in environ cmdline; do \
                  for process in /proc/[0-9]*; do tr '\\0' '\\n' 2>/dev/null <$process/$of; done; \
                  done; true";
    let processes = machine.ok(&["sh", "-c", script]);
    assert!(processes.contains("NOTIFY_SOCKET="), "nothing was read");
    let hit = processes.lines().find(|line| line.contains(start));
    assert_eq!(hit, None, "of a process while {unit} runs");
}
