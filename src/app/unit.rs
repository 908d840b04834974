//! What systemd and the caller gave hushpipe, on its way to the program: sockets, descriptors, output, and
//! whom to tell.

use std::ffi::OsString;
use std::rc::Rc;
use std::time::Duration;

use super::failure::{Failure, Failures, os};
use super::host::Host;
use super::inherited::Inherited;
use super::output::Output;
use crate::model::{DeliveryKind, Event, Observer, Plan, StoreName, Topic};
use crate::supervisor::Supervisor;
use crate::supervisor::activation::Activation;
use crate::supervisor::notify::{Announcer, ProgramUser, Relay, Surroundings};
use crate::supervisor::spawn::{Handover, Launch};
use crate::sys::process;

/// The sockets that systemd opened for hushpipe, if it did. To be called before anything is opened.
pub fn claim() -> Result<Option<Activation>, Failures> {
    Activation::claim(|name| std::env::var_os(name), process::id())
        .map_err(|fault| vec![Failure::new(fault.exit(), fault)])
}

/// What the program gets of it.
pub struct Unit {
    activation: Option<Activation>,
    inherited: Inherited,
    output: Option<Rc<Output>>,
    announcer: Announcer,
    variables: Vec<(&'static str, OsString)>,
    pid_variables: Vec<&'static str>,
}

impl Unit {
    /// For a program that becomes hushpipe's child: all that is said to hushpipe is said to it anew.
    pub fn supervised(
        plan: &Plan,
        host: &Host,
        activation: Option<Activation>,
        inherited: Inherited,
        supervisor: &mut Supervisor,
        observer: &Rc<dyn Observer>,
    ) -> Self {
        let announcer = Announcer::new(&surroundings(), observer);
        let mut unit = Self::of(&host.launch, activation, inherited, announcer);
        let room = room(plan, unit.activation.as_ref());
        let relay = unit.listen(host, room, observer);
        supervisor.speak(unit.announcer.clone(), relay);
        if unit.activation.is_some() {
            unit.pid_variables.push("LISTEN_PID");
        }
        match host.launch.of_systemd("WATCHDOG_PID") {
            Some(pid) if pid == process::id().to_string().as_str() => {
                unit.pid_variables.push("WATCHDOG_PID");
            }
            // Another's watchdog is none of the program's either.
            Some(pid) => unit.variables.push(("WATCHDOG_PID", pid.to_owned())),
            None => {}
        }
        unit
    }

    /// For a program that hushpipe becomes: its process is the one that systemd knows.
    pub fn exec(launch: &Launch, activation: Option<Activation>, inherited: Inherited) -> Self {
        let mut unit = Self::of(launch, activation, inherited, Announcer::silent());
        let mut of_process = vec!["NOTIFY_SOCKET", "WATCHDOG_PID"];
        if unit.activation.is_some() {
            of_process.extend(["LISTEN_PID", "LISTEN_PIDFDID"]);
        }
        for name in of_process {
            let value = launch.of_systemd(name);
            unit.variables
                .extend(value.map(|value| (name, value.to_owned())));
        }
        unit
    }

    fn of(
        launch: &Launch,
        activation: Option<Activation>,
        inherited: Inherited,
        announcer: Announcer,
    ) -> Self {
        // Closed, where run.env keeps their number from the program.
        let activation = activation.filter(|_| launch.of_systemd("LISTEN_FDS").is_some());
        let variables = activation.as_ref().map(Activation::variables);
        Self {
            activation,
            inherited,
            output: None,
            announcer,
            variables: variables.unwrap_or_default(),
            pid_variables: Vec::new(),
        }
    }

    /// A notify socket for the program, where it may have one.
    fn listen(
        &mut self,
        host: &Host,
        room: Option<usize>,
        observer: &Rc<dyn Observer>,
    ) -> Option<Relay> {
        host.launch.of_systemd("NOTIFY_SOCKET")?;
        let user = ProgramUser {
            uid: host.launch.owner().0,
            changes: host.launch.may_change_user(),
        };
        match Relay::new(&self.announcer, user, &host.layout.directories(), room) {
            Ok(relay) => {
                let name = relay.as_ref().map(|relay| relay.name().to_owned());
                self.variables
                    .extend(name.map(|name| ("NOTIFY_SOCKET", name)));
                relay
            }
            Err(error) => {
                let message = format!(
                    "no notify socket can be made for the program: {error}; systemd hears nothing \
                     from it"
                );
                observer.observe(&Event::Weaker {
                    about: Topic::Systemd,
                    message,
                });
                None
            }
        }
    }

    /// What hushpipe itself tells systemd.
    pub const fn announcer(&self) -> &Announcer {
        &self.announcer
    }

    /// Adds what the program gets to a hand-over.
    pub fn complete(&self, handover: &mut Handover) -> Result<(), Failures> {
        if let Some(activation) = &self.activation {
            let fds = activation.fds();
            handover
                .fds
                .extend(fds.map_err(os("cannot duplicate the unit's sockets"))?);
        }
        let inherited = self.inherited.fds();
        handover
            .fds
            .extend(inherited.map_err(os("cannot duplicate a descriptor of the caller"))?);
        if let Some(output) = &self.output {
            let ends = output.ends();
            handover
                .fds
                .extend(ends.map_err(os("cannot duplicate a pipe"))?);
        }
        handover.variables.extend(self.variables.iter().cloned());
        handover.pid_variables.extend(&self.pid_variables);
        Ok(())
    }

    /// With output that is searched for values.
    pub fn with_output(self, output: Option<Rc<Output>>) -> Self {
        Self { output, ..self }
    }

    /// The output that is searched for values, if it is.
    pub const fn output(&self) -> Option<&Rc<Output>> {
        self.output.as_ref()
    }

    /// The sockets, for another start.
    pub const fn activation(&self) -> Option<&Activation> {
        self.activation.as_ref()
    }

    /// The program runs. Sockets stay open in hushpipe only for another start: what the program closes
    /// is to be closed.
    pub fn after_start(self, restarts: bool) -> Self {
        Self {
            activation: self.activation.filter(|_| restarts),
            inherited: if restarts {
                self.inherited
            } else {
                Inherited::default()
            },
            ..self
        }
    }
}

/// How many descriptors systemd may keep for the program: at the next start they follow the sockets,
/// and none may be where something is delivered.
fn room(plan: &Plan, activation: Option<&Activation>) -> Option<usize> {
    let free = activation.map_or(Activation::FIRST, |activation| activation.numbers().end);
    let delivered = plan.deliveries.iter().filter_map(|each| match each.kind {
        DeliveryKind::Fd { number, .. } => usize::try_from(number - free).ok(),
        _ => None,
    });
    delivered.min()
}

fn surroundings() -> Surroundings {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let own = process::id() as u64;
    Surroundings {
        socket: std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()),
        watchdog: number("WATCHDOG_USEC")
            .filter(|_| number("WATCHDOG_PID").is_none_or(|pid| pid == own))
            .filter(|micros| *micros > 0)
            .map(Duration::from_micros),
    }
}

/// What `systemctl status` shows while the stores are asked.
pub fn fetching(plan: &Plan) -> String {
    let stores: Vec<&str> = plan.stores.keys().map(StoreName::as_str).collect();
    let secrets = match plan.secrets.len() {
        1 => "1 secret".to_owned(),
        count => format!("{count} secrets"),
    };
    format!("fetching {secrets} from {}", stores.join(", "))
}
