//! What a rotation does: `on_rotate` of the manifest and of secrets.

use std::time::Duration;

use super::addresses::HookUrl;
use super::build::Builder;
use super::collections::Argv;
use super::decode::Spanned;
use super::fault::{Fault, Span};
use super::records::{Manifest, OnRotation, Probe, Restarts, Secret, SecretRotation};
use super::values::RotateDo;
use crate::model::{
    HttpMethod, Mode, OnRotate, RestartBudget, RotateAction, Signal, Verify, VerifyHow,
};

/// How long a command may take.
const COMMAND: Duration = Duration::from_secs(30);
/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(10);

/// The keys that say what is done, of the manifest or of a secret.
struct Told<'r> {
    at: Span,
    action: &'r Spanned<RotateDo>,
    signal: &'r Spanned<Signal>,
    command: &'r Spanned<Argv>,
    http: &'r Spanned<HookUrl>,
    method: &'r Spanned<HttpMethod>,
    timeout: &'r Spanned<Duration>,
}

macro_rules! told {
    ($record:ty) => {
        impl<'r> From<&'r $record> for Told<'r> {
            fn from(record: &'r $record) -> Self {
                Self {
                    at: record.at,
                    action: &record.action,
                    signal: &record.signal,
                    command: &record.command,
                    http: &record.http,
                    method: &record.method,
                    timeout: &record.timeout,
                }
            }
        }
    };
}
told!(OnRotation);
told!(SecretRotation);

impl Told<'_> {
    /// The keys beside `do`, where they stand, and what they are for.
    fn keys(&self) -> [(&'static str, Option<Span>, &'static [RotateDo]); 5] {
        use RotateDo::{Command, Http, Signal};
        [
            ("signal", self.signal.key, &[Signal]),
            ("command", self.command.key, &[Command]),
            ("http", self.http.key, &[Http]),
            ("method", self.method.key, &[Http]),
            ("timeout", self.timeout.key, &[Command, Http]),
        ]
    }
}

impl Builder<'_> {
    /// What a new version does. Without `on_rotate` only the files change: a signal that a program
    /// does not expect ends it.
    pub fn on_rotate(&mut self, manifest: &Manifest, mode: Mode) -> Option<OnRotate> {
        let Some(record) = manifest.on_rotate.get() else {
            let settle = Duration::from_secs(2);
            return Some(OnRotate::only(RotateAction::Nothing, settle));
        };
        if mode == Mode::Exec {
            self.rotation_not_in_exec(record);
        }
        let action = self.action(&Told::from(record), mode);
        let verify = record.verify.get().and_then(|probe| self.verify(probe));
        let everywhere = actions(manifest);
        self.rollback_fits(record, &everywhere);
        self.restarts_fit(record, &everywhere);
        let restarts = record.restarts.get();
        let rollback = record.rollback.get().copied();
        Some(OnRotate {
            action: action.unwrap_or(RotateAction::Nothing),
            settle: *record.settle.get()?,
            splay: *record.splay.get()?,
            rollback: rollback.unwrap_or(verify.is_some()),
            verify,
            restarts: match restarts {
                Some(restarts) => self.budget(restarts)?,
                None => RestartBudget::default(),
            },
        })
    }

    /// What a new version of one secret does.
    pub fn secret_rotation(&mut self, own: &SecretRotation, mode: Mode) -> Option<RotateAction> {
        let told = Told::from(own);
        let silent = told.keys().iter().all(|(_, span, _)| span.is_none());
        if silent && !own.action.is_present() {
            let help = "add `do:` with one of signal, restart, command, http, nothing";
            self.fault(own.at, "this `on_rotate` has no action", help);
        }
        self.action(&told, mode)
    }

    /// What the keys say. `None`: nothing, or a fault was told.
    fn action(&mut self, told: &Told<'_>, mode: Mode) -> Option<RotateAction> {
        if let Some(signal) = told.signal.get().filter(|signal| !signal.can_be_caught()) {
            let message = format!("a program cannot catch {signal}");
            let help = "use HUP, USR1 or the signal on which the program reloads";
            self.fault(told.signal.span, message, help);
        }
        let meant = self.meant(told)?;
        for (key, span, belongs) in told.keys() {
            if let (Some(span), false) = (span, belongs.contains(&meant)) {
                let message = format!("`{key}` has no effect with `do: {}`", meant.word());
                let words: Vec<String> = belongs
                    .iter()
                    .map(|other| format!("`do: {}`", other.word()))
                    .collect();
                let help = format!("remove it, or write {}", words.join(" or "));
                self.fault(span, message, help);
            }
        }
        if mode == Mode::Exec {
            self.action_not_in_exec(told, meant);
        }
        if told.timeout.get().is_some_and(Duration::is_zero) {
            let help = "write a duration such as 10s, or remove it";
            self.fault(told.timeout.span, "this leaves no time at all", help);
        }
        match meant {
            RotateDo::Nothing => Some(RotateAction::Nothing),
            RotateDo::Restart => Some(RotateAction::Restart),
            RotateDo::Signal if !told.signal.is_present() => {
                Some(RotateAction::Signal(Signal::HUP))
            }
            RotateDo::Signal => told.signal.get().copied().map(RotateAction::Signal),
            RotateDo::Command => self.command_action(told),
            RotateDo::Http => self.http_action(told),
        }
    }

    /// `do:`, or what the one key that is there makes clear.
    fn meant(&mut self, told: &Told<'_>) -> Option<RotateDo> {
        if told.action.is_present() {
            return told.action.get().copied();
        }
        let keys = told.keys();
        let mut clear = keys
            .iter()
            .filter_map(|(key, span, belongs)| match belongs {
                [one] if *key == one.word() => span.map(|span| (span, *one)),
                _ => None,
            });
        match (clear.next(), clear.next()) {
            (Some((first, one)), Some((second, other))) => {
                let (one, other) = (one.word(), other.word());
                let message = format!("`{one}` and `{other}` exclude each other");
                let help = "keep one of them; a command can do several things";
                let fault = Fault::new(first.max(second), message, help);
                self.faults
                    .push(fault.related(first.min(second), "this as well"));
                None
            }
            (Some((_, one)), None) => Some(one),
            _ => {
                for (key, span, _) in keys {
                    if let Some(span) = span {
                        let message = format!(
                            "`{key}` has no effect: this `on_rotate` has no \
                                               command and no URL"
                        );
                        let help = "add `command:` or `http:`, or remove it";
                        self.fault(span, message, help);
                    }
                }
                None
            }
        }
    }

    fn command_action(&mut self, told: &Told<'_>) -> Option<RotateAction> {
        if !told.command.is_present() {
            let help = "add `command: [PROGRAM, ARGUMENT, ...]`";
            let span = told.action.key.unwrap_or(told.at);
            self.fault(span, "`do: command` needs a command", help);
        }
        Some(RotateAction::Command {
            argv: self.hook(told.command.get()?),
            timeout: told.timeout.get().copied().unwrap_or(COMMAND),
        })
    }

    fn http_action(&mut self, told: &Told<'_>) -> Option<RotateAction> {
        if !told.http.is_present() {
            let help = "add `http: URL`";
            let span = told.action.key.unwrap_or(told.at);
            self.fault(span, "`do: http` needs a URL", help);
        }
        Some(RotateAction::Http {
            url: told.http.get()?.0.clone(),
            method: told.method.get().copied().unwrap_or_default(),
            timeout: told.timeout.get().copied().unwrap_or(REQUEST),
        })
    }

    fn hook(&mut self, argv: &Argv) -> Vec<String> {
        for (word, span) in argv.words.iter().zip(&argv.spans) {
            self.no_template(word, *span, "an argument");
        }
        self.words(argv)
    }

    fn verify(&mut self, Probe(probe): &Probe) -> Option<Verify> {
        let ways = [
            ("http", probe.http.key),
            ("command", probe.command.key),
            ("alive", probe.alive.key),
        ];
        let mut ways = ways.iter().filter_map(|(key, span)| Some((key, (*span)?)));
        match (ways.next(), ways.next()) {
            (None, _) => {
                let help = "add `http: URL`, `command: [PROGRAM, ...]` or `alive: true`";
                let message = "this `verify` has no check";
                self.fault(probe.at, message, help);
            }
            (Some((one, first)), Some((other, second))) => {
                let message = format!("`{one}` and `{other}` exclude each other");
                let help = "keep one of them; a command can check several things";
                let fault = Fault::new(first.max(second), message, help);
                self.faults
                    .push(fault.related(first.min(second), "this as well"));
            }
            _ => {}
        }
        if probe.within.get().is_some_and(Duration::is_zero) {
            let help = "write how long the program has to become healthy, such as 10s";
            self.fault(
                probe.within.span,
                "this leaves the program no time to become healthy",
                help,
            );
        }
        let how = if probe.http.is_present() {
            VerifyHow::Http(probe.http.get()?.0.clone())
        } else if probe.command.is_present() {
            VerifyHow::Command(self.hook(probe.command.get()?))
        } else {
            self.alive(&probe.alive)?
        };
        let within = *probe.within.get()?;
        Some(Verify { how, within })
    }

    fn alive(&mut self, alive: &Spanned<bool>) -> Option<VerifyHow> {
        if !*alive.get()? {
            let help = "write `alive: true`, or remove `verify`";
            self.fault(alive.span, "`alive: false` checks nothing", help);
        }
        Some(VerifyHow::Alive)
    }

    /// Taking back needs something that can say that the program is not well.
    fn rollback_fits(&mut self, record: &OnRotation, everywhere: &[RotateDo]) {
        let told = everywhere
            .iter()
            .any(|action| !matches!(action, RotateDo::Signal | RotateDo::Nothing));
        if record.rollback.get() != Some(&true) || record.verify.is_present() {
            return;
        }
        if !told {
            let message = "`rollback` has no effect without a check";
            let help = "add `verify:`, or remove `rollback`";
            self.fault(record.rollback.span, message, help);
        } else if everywhere.contains(&RotateDo::Restart) {
            self.warn(
                record.rollback.span,
                "without `verify`, a program that ends soon after its restart is not rolled back: add \
                 `verify: { alive: true }`",
            );
        }
    }

    fn restarts_fit(&mut self, record: &OnRotation, everywhere: &[RotateDo]) {
        if let (Some(span), false) = (record.restarts.key, everywhere.contains(&RotateDo::Restart))
        {
            let help = "remove it, or write `do: restart`";
            self.fault(
                span,
                "`restarts` has no effect: nothing restarts the program",
                help,
            );
        }
    }

    fn budget(&mut self, restarts: &Restarts) -> Option<RestartBudget> {
        let (max, per) = (*restarts.max.get()?, *restarts.per.get()?);
        if max == 0 {
            let help = "write 1 or more; `do: nothing` never restarts it";
            self.fault(restarts.max.span, "`max: 0` allows no restart", help);
        }
        let Ok(max) = u32::try_from(max) else {
            let message = format!("{max} restarts are no useful limit");
            self.fault(
                restarts.max.span,
                message,
                "write a small number, such as 5",
            );
            return None;
        };
        if per.is_zero() {
            let help = "write a duration such as 10m";
            self.fault(
                restarts.per.span,
                "restarts cannot be counted over no time",
                help,
            );
        }
        Some(RestartBudget { max, per })
    }

    fn action_not_in_exec(&mut self, told: &Told<'_>, meant: RotateDo) {
        let (what, key) = match meant {
            RotateDo::Nothing => return,
            RotateDo::Signal => ("a signal on rotation", told.signal.key),
            RotateDo::Restart => ("a restart on rotation", None),
            RotateDo::Command => ("a command on rotation", told.command.key),
            RotateDo::Http => ("a request on rotation", told.http.key),
        };
        let span = key.or(told.action.key).unwrap_or(told.at);
        let why = "hushpipe does not remain to see new versions";
        self.not_in_exec(span, what, why);
    }

    fn rotation_not_in_exec(&mut self, record: &OnRotation) {
        let keys = [
            ("`splay`", record.splay.key),
            ("`verify`", record.verify.key),
            ("`rollback`", record.rollback.key),
            ("`restarts`", record.restarts.key),
        ];
        for (what, key) in keys {
            if let Some(span) = key {
                let why = "hushpipe does not remain to see new versions";
                self.not_in_exec(span, what, why);
            }
        }
    }
}

/// What is done on rotation anywhere in the manifest, as far as it can be read.
fn actions(manifest: &Manifest) -> Vec<RotateDo> {
    let secrets = manifest.secrets.get().map_or(&[][..], |table| &table.0);
    let of_secret = |secret: &Secret| {
        secret
            .on_rotate
            .get()
            .and_then(|own| said(&Told::from(own)))
    };
    let all = manifest
        .on_rotate
        .get()
        .and_then(|all| said(&Told::from(all)));
    secrets
        .iter()
        .filter_map(|(_, _, secret)| of_secret(secret.get()?))
        .chain(all)
        .collect()
}

/// `do:`, or the first key that stands for it.
fn said(told: &Told<'_>) -> Option<RotateDo> {
    let clear = [
        (told.signal.key, RotateDo::Signal),
        (told.command.key, RotateDo::Command),
        (told.http.key, RotateDo::Http),
    ];
    let first = clear.iter().find_map(|(key, action)| key.map(|_| *action));
    told.action.get().copied().or(first)
}
