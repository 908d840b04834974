//! The one way to a program, in either mode: settle the host, authorise, fetch, check the values,
//! render, record. What is delivered, and how the program is started, follows with the [`Receipt`].

use std::rc::Rc;

use super::failure::Failures;
use super::fetch::Stores;
use super::gate::{Authorised, Gate, Patience, Subject};
use super::host::{self, Host, Prior};
use super::values::{self, Gathered};
use crate::model::{Observer, Plan, Reason, Receipt};

/// What a launch goes through.
pub struct Pipeline<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Where its secrets come from.
    pub stores: &'a Stores,
    /// Who decides and records.
    pub gate: &'a Gate,
    /// Where events go.
    pub observer: &'a Rc<dyn Observer>,
}

/// A launch on a host that can run it, before policy has decided.
pub struct Cleared {
    /// The host.
    pub host: Host,
    /// The program as policy sees it.
    pub subject: Subject,
}

impl<'a> Pipeline<'a> {
    /// Settles the host, says what is weaker there, and gathers the facts.
    pub fn clear(&self, prior: &Prior) -> Result<Cleared, Failures> {
        let (activation, users) = (prior.activation.as_ref(), prior.users.as_ref());
        let host = host::settle(self.plan, activation, users)?;
        host.warn(self.plan, self.observer.as_ref());
        let subject = self.gate.subject(self.plan, &host);
        Ok(Cleared { host, subject })
    }

    /// Has policy decide, which may take approvals that are waited for. No store is asked before, but for the
    /// age of versions where policies go by it.
    pub async fn authorise(&self, subject: &Subject) -> Result<Authorised<'a>, Failures> {
        let (mut subject, patience) = (subject.clone(), Patience::Wait);
        if self.gate.reads_age() {
            subject = subject.aged(self.stores.ask_made(self.plan).await);
        }
        self.gate
            .authorise(self.plan, subject, Reason::Launch, patience)
            .await
    }

    /// Fetches, checks and renders; then puts the release on record. Nothing is delivered before.
    pub async fn release(
        &self,
        host: &Host,
        authorised: &Authorised<'_>,
    ) -> Result<(Gathered, Receipt), Failures> {
        let gathered = values::gather(authorised, self.stores, host, self.observer).await?;
        let versions = &gathered.round.versions;
        let receipt = self.gate.record(authorised, versions).await?;
        Ok((gathered, receipt))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use std::future::ready;
    use std::path::Path;

    use super::*;
    use crate::app::event_loop::runtime;
    use crate::app::gate::Rules;
    use crate::manifest::{self, Overrides};
    use crate::model::query::{Effect, Query, Ruling};
    use crate::model::{
        AuditError, Decision, Exit, NoSite, Policy, PolicyMode, PolicySpec, Recorder, Recording,
        Release, Source, StoreName, Version,
    };
    use crate::secret::{SecretBytes, Value};
    use crate::stores::{Fetched, Local, Store, StoreError, Watch, Watched};

    const MANIFEST: &str = "
version: 1
service: tested
stores: { s: { type: directory, path: /s } }
secrets: { a: { store: s, key: a } }
deliver: [{ fd: 3, as: memfd, secret: a }]
run: { command: [/bin/true] }
";

    /// Counts the requests.
    #[derive(Default)]
    struct Fake(Rc<Cell<u32>>);

    impl Store for Fake {
        fn fetch<'a>(&'a self, _: &'a Source) -> Local<'a, Result<Fetched, StoreError>> {
            self.0.set(self.0.get() + 1);
            let value = Value::bytes(SecretBytes::new(b"value".to_vec()));
            let version = Version("v1".to_owned());
            Box::pin(ready(Ok(Fetched { value, version })))
        }

        fn version<'a>(&'a self, _: &'a Source) -> Local<'a, Result<Version, StoreError>> {
            self.0.set(self.0.get() + 1);
            Box::pin(ready(Ok(Version("v1".to_owned()))))
        }

        fn watch(&self, _: &[Watched]) -> Result<Option<Box<dyn Watch>>, StoreError> {
            Ok(None)
        }
    }

    struct Denies;

    impl Policy for Denies {
        fn rule(&self, queries: &[Query]) -> Vec<Ruling> {
            let deny = Ruling {
                effect: Effect::Deny,
                policies: vec!["not-here".to_owned()],
                errors: Vec::new(),
                obligations: Vec::new(),
                stop: false,
            };
            queries.iter().map(|_| deny.clone()).collect()
        }
    }

    /// Allows what it is asked first, and has changed by then.
    #[derive(Default)]
    struct Changing(Cell<u32>);

    impl Policy for Changing {
        fn rule(&self, queries: &[Query]) -> Vec<Ruling> {
            let asked = self.0.replace(self.0.get() + 1);
            let effect = if asked == 0 {
                Effect::Allow
            } else {
                Effect::Deny
            };
            let ruling = Ruling {
                effect,
                policies: vec!["stop-all".to_owned()],
                errors: Vec::new(),
                obligations: Vec::new(),
                stop: false,
            };
            queries.iter().map(|_| ruling.clone()).collect()
        }

        fn digest(&self) -> String {
            self.0.get().min(2).to_string()
        }
    }

    /// A gate whose policy denies everything.
    fn denies(mode: PolicyMode) -> Gate {
        of(Denies, mode)
    }

    fn of(policy: impl Policy + 'static, mode: PolicyMode) -> Gate {
        let spec = PolicySpec {
            directory: "/etc/hushpipe/policy.d".into(),
            mode,
        };
        let observer: Rc<dyn Observer> = Rc::new(());
        Gate::new(Some(Rules::new(policy, spec, &observer)), NoSite, observer)
    }

    /// Whether that shows before a store is asked.
    struct DiskFull(bool);

    fn full() -> AuditError {
        AuditError {
            why: "no space left".to_owned(),
            help: Some("make room".to_owned()),
        }
    }

    impl Recorder for DiskFull {
        fn write<'a>(&'a self, release: &'a Release<'_>) -> Recording<'a> {
            assert_eq!(release.versions.len(), 1);
            Box::pin(ready(Err(full())))
        }

        fn prepare(&self) -> Result<(), AuditError> {
            if self.0 { Err(full()) } else { Ok(()) }
        }

        fn decided(&self, _: &[Decision]) -> Result<(), AuditError> {
            Ok(())
        }

        fn denied(&self, _: &[Decision]) {}

        fn custody(&self, _: &[Query], _: &[Decision]) -> Result<(), AuditError> {
            Ok(())
        }
    }

    /// Clears and releases by this gate; gives what went wrong, and how many requests were made.
    fn run(gate: &Gate) -> (Option<(Exit, String)>, u32) {
        let plan = manifest::parse(Path::new("m"), MANIFEST, &Overrides::default(), &|_| None);
        let plan = plan.unwrap_or_else(|error| panic!("{error:?}"));
        let requests = Rc::new(Cell::new(0));
        let store: Box<dyn Store> = Box::new(Fake(Rc::clone(&requests)));
        let observer: Rc<dyn Observer> = Rc::new(());
        let open = BTreeMap::from([(StoreName::new("s").unwrap(), store)]);
        let stores = Stores::new(open, &observer);
        let pipeline = Pipeline {
            plan: &plan,
            stores: &stores,
            gate,
            observer: &observer,
        };
        let prior = Prior::new(&plan, None, crate::app::inherited::Inherited::default());
        let released = pipeline.clear(&prior).and_then(|cleared| {
            let released = runtime()?.block_on(async {
                let authorised = pipeline.authorise(&cleared.subject).await?;
                pipeline.release(&cleared.host, &authorised).await
            });
            released.map(|(gathered, _)| assert_eq!(gathered.payloads.len(), 1))
        });
        let failure = released.err().map(|mut failures| failures.swap_remove(0));
        let failure = failure.map(|failure| (failure.exit, failure.error.to_string()));
        (failure, requests.get())
    }

    #[test]
    fn a_denied_release_makes_no_request() {
        let (failure, requests) = run(&denies(PolicyMode::Enforce));
        let (exit, why) = failure.unwrap();
        assert_eq!((exit, requests), (Exit::Denied, 0));
        let start = "policy denies 1 of 1 secrets to service tested:\n  \
                     secret a: policy not-here forbids it (store \"s\", occasion \"launch\"";
        assert!(why.starts_with(start), "{why}");
    }

    #[test]
    fn a_policy_that_changes_while_values_are_fetched_holds() {
        let gate = of(Changing::default(), PolicyMode::Enforce);
        let (failure, requests) = run(&gate);
        let (exit, why) = failure.unwrap();
        assert_eq!((exit, requests), (Exit::Denied, 1));
        assert!(why.contains("policy stop-all forbids it"), "{why}");
    }

    #[test]
    fn a_site_that_observes_refuses_nothing() {
        assert_eq!(run(&denies(PolicyMode::Observe)), (None, 1));
    }

    #[test]
    fn what_cannot_be_recorded_gets_no_receipt() {
        for (beforehand, asked) in [(false, 1), (true, 0)] {
            let (failure, requests) = run(&Gate::new(None, DiskFull(beforehand), Rc::new(())));
            let (exit, why) = failure.unwrap();
            assert_eq!((exit, requests), (Exit::Deadline, asked));
            let wanted = "cannot write the audit log: no space left\n  help: make room";
            assert_eq!(why, wanted);
        }
    }

    #[test]
    fn without_a_site_all_is_released() {
        assert_eq!(run(&Gate::without_site()), (None, 1));
    }
}
