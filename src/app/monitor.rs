//! `hushpipe monitor`: one event loop that follows the site's log, feeds its sinks, and asks its witnesses.

mod alerts;
mod metrics;
mod say;

use std::convert::Infallible;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use alerts::{Alerting, Beside};
use metrics::Shown;
use say::Say;
pub use say::Weight;

use super::audit::{Cosigner, failed, witness_key};
use super::event_loop::{runtime, take_signals, until_stopped};
use super::failure::{Failure, Failures, os};
use crate::audit::{Archive, Kept, Tail};
use crate::http::Listener;
use crate::model::printable::printable_path;
use crate::model::{
    AlertsSpec, AuditSpec, Backoff, Exit, MetricsSpec, SinkSpec, Site, chain, random,
};
use crate::monitor::{Cursor, Feed, Heard, Id, News, Receiver, Sender, cursor_name, number};
use crate::stores::join;
use crate::sys::inotify::{Notifier, WatchMask};
use crate::sys::walk::Rule;
use crate::sys::{datagram, filesystem, held};

/// How often the log is looked at, whatever inotify says.
const LOOK: Duration = Duration::from_secs(1);
/// Records that come within this time are one piece of news.
const TOGETHER: Duration = Duration::from_millis(5);

/// Waits between questions to a witness that does not answer.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// What is monitored.
pub struct Monitor {
    audit: AuditSpec,
    /// Of cursors and cosigned checkpoints.
    directory: PathBuf,
    metrics: Option<MetricsSpec>,
    alerts: Option<AlertsSpec>,
}

type Work<'a> = Pin<Box<dyn Future<Output = Infallible> + 'a>>;

impl Monitor {
    /// Of a site with a log, and with something to do about it.
    pub fn of(site: Option<&Site>) -> Result<Self, Failures> {
        let wrong = |text: &str| vec![Failure::new(Exit::Manifest, text.to_owned())];
        let audit = site.and_then(|site| site.audit.clone());
        let audit =
            audit.ok_or_else(|| wrong("this host's site has no `audit`: nothing to monitor"))?;
        let metrics = site.and_then(|site| site.metrics.clone());
        let alerts = site.and_then(|site| site.alerts.clone());
        let is_fed = !audit.sinks.is_empty() || !audit.witnesses.is_empty();
        if !is_fed && metrics.is_none() && alerts.is_none() {
            return Err(wrong(
                "the site has neither audit.sinks, audit.witnesses, metrics nor alerts: nothing to monitor\n  \
                 help: hushpipe-monitor(8) has examples",
            ));
        }
        let directory = site.map(|site| site.monitor.directory.clone());
        let directory = directory.unwrap_or_default();
        Ok(Self {
            audit,
            directory,
            metrics,
            alerts,
        })
    }

    /// Runs until a signal stops it.
    pub fn run(&self, say: Say<'_>) -> Result<(), Failures> {
        let mut signals = take_signals()?;
        let _alone = self.alone()?;
        runtime()?.block_on(async {
            let (news, heard) = watch::channel(0);
            let feeds = self.feeds()?;
            let shown = Shown::new(feeds.iter().map(Feed::progress).collect());
            let alerting = self.alerting()?;
            let say = |weight: Weight, text: &str| {
                if weight == Weight::Alert {
                    shown.set(Id::Tampered, &[], 1.0);
                    if let Some(alerting) = &alerting {
                        alerting.tampered(text);
                    }
                }
                say(weight, text);
            };
            let say: Say<'_> = &say;
            let beside = Beside { shown: &shown, say };
            let hear = |sink: &str, heard: Heard| tell(say, sink, &heard);
            let kept = Kept::make(&self.directory).map_err(|error| failed(&error))?;
            let listener = self.listener().await?;
            let mut work: Vec<Work<'_>> = Vec::new();
            for feed in feeds {
                work.push(Box::pin(feed.run(heard.clone(), &hear)));
            }
            for cosigner in self.cosigners()? {
                let news = heard.clone();
                work.push(Box::pin(self.cosign(cosigner, &kept, &shown, news, say)));
            }
            if let Some(alerting) = &alerting {
                work.extend(self.alert(alerting, &heard, beside));
            }
            if let Some(listener) = &listener {
                work.push(Box::pin(shown.scraped(listener)));
            }
            work.extend(self.show(&heard, beside));
            work.push(Box::pin(follow(&self.audit.directory, news, say)));
            ready();
            let stopped = tokio::select! {
                biased;
                stopped = until_stopped(&mut signals) => stopped,
                // None of them ends.
                _ = join::all(work) => Ok(()),
            };
            if let Some(alerting) = &alerting {
                alerting.save(say);
            }
            stopped
        })
    }

    /// Evaluates rules, and notifies receivers.
    fn alert<'a>(
        &'a self,
        alerting: &'a Alerting,
        news: &News,
        beside: Beside<'a>,
    ) -> Vec<Work<'a>> {
        let log = &self.audit.directory;
        let mut work: Vec<Work<'a>> = vec![
            Box::pin(alerting.follow(log, news.clone(), beside)),
            Box::pin(alerting.tick(beside)),
        ];
        for receiver in self.receivers() {
            work.push(Box::pin(alerting.notify(receiver, beside)));
        }
        work
    }

    /// Counts records, and carries metrics where they are not scraped.
    fn show<'a>(&'a self, news: &News, Beside { shown, say }: Beside<'a>) -> Vec<Work<'a>> {
        let Some(metrics) = &self.metrics else {
            return Vec::new();
        };
        let log = &self.audit.directory;
        let mut work: Vec<Work<'a>> = vec![Box::pin(shown.count(log, news.clone(), say))];
        if let Some(directory) = &metrics.textfile {
            work.push(Box::pin(shown.written(directory, say)));
        }
        if let Some(push) = &metrics.otlp {
            work.push(Box::pin(shown.pushed(&push.server, push.every, say)));
        }
        work
    }

    /// Sends what there is, asks each witness once, and ends. The errors are of what did not arrive.
    pub fn run_once(&self, say: Say<'_>) -> Result<(), Failures> {
        let _alone = self.alone()?;
        runtime()?.block_on(async {
            let mut failures = Vec::new();
            let hear = |sink: &str, heard: Heard| tell(say, sink, &heard);
            for (spec, feed) in self.audit.sinks.iter().zip(self.feeds()?) {
                if let Err(why) = feed.run_once(&hear).await {
                    let text = format!("sink {}: {why}", spec.name());
                    failures.push(Failure::new(Exit::Unreachable, text));
                }
            }
            let kept = Kept::make(&self.directory).map_err(|error| failed(&error))?;
            let archive = self.archive()?;
            for cosigner in self.cosigners()? {
                if let Err(error) = cosigner.ask(&archive, &kept).await {
                    let text = format!("witness {}: {error}", cosigner.key.name());
                    failures.push(Failure::new(error.exit(), text));
                }
            }
            failures.extend(self.alert_once(say).await?);
            if failures.is_empty() {
                Ok(())
            } else {
                Err(failures)
            }
        })
    }

    /// Evaluates the rules once. What is given: the receivers that were not notified.
    async fn alert_once(&self, say: Say<'_>) -> Result<Failures, Failures> {
        let Some(alerting) = self.alerting()? else {
            return Ok(Vec::new());
        };
        let shown = Shown::new(Vec::new());
        let beside = Beside { shown: &shown, say };
        let failed = alerting.once(&self.audit.directory, self.receivers(), beside);
        let failed = failed.await.map_err(|error| super::audit::failed(&error))?;
        let failed = failed.into_iter();
        Ok(failed
            .map(|text| Failure::new(Exit::Unreachable, text))
            .collect())
    }

    fn alerting(&self) -> Result<Option<Alerting>, Failures> {
        let alerting = self.alerts.as_ref();
        let alerting = alerting.map(|spec| Alerting::open(spec, &self.directory));
        let alerting = alerting.transpose();
        alerting.map_err(|why| vec![Failure::new(Exit::Os, why)])
    }

    fn receivers(&self) -> Vec<Receiver> {
        let receivers = self.alerts.iter().flat_map(|alerts| &alerts.notify);
        receivers.map(Receiver::new).collect()
    }

    /// Two monitors would send everything twice: the second one ends.
    fn alone(&self) -> Result<OwnedFd, Failures> {
        let shown = printable_path(&self.directory);
        let failed = |why: String| vec![Failure::new(Exit::Os, why)];
        let directory = held::make_directories(&self.directory, &Rule::STRICT);
        let directory = directory.map_err(|error| failed(error.to_string()))?;
        let wrong = |error| failed(format!("cannot lock {shown}: {error}"));
        if let Some(lock) = filesystem::lock_at(&directory, "lock").map_err(wrong)? {
            return Ok(lock);
        }
        let text = format!(
            "another `hushpipe monitor` runs for this site, and has {shown}\n  help: stop it first: systemctl stop \
             hushpipe-monitor"
        );
        Err(vec![Failure::new(Exit::Deadline, text)])
    }

    async fn listener(&self) -> Result<Option<Listener>, Failures> {
        let Some(address) = self.metrics.as_ref().and_then(|metrics| metrics.listen) else {
            return Ok(None);
        };
        let listener = Listener::tcp(address).await;
        let listener = listener.map_err(os("cannot listen at the address of metrics.listen"))?;
        Ok(Some(listener))
    }

    fn archive(&self) -> Result<Archive, Failures> {
        Archive::open(&self.audit.directory).map_err(|error| failed(&error))
    }

    fn feeds(&self) -> Result<Vec<Feed>, Failures> {
        let feed = |spec: &SinkSpec| {
            let cursor = Cursor::open(&self.directory, &cursor_name(spec));
            let cursor = cursor.map_err(|why| vec![Failure::new(Exit::Os, why)])?;
            let tail = Tail::new(self.archive()?, cursor.confirmed());
            Ok(Feed::new(Sender::new(spec), tail, cursor))
        };
        self.audit.sinks.iter().map(feed).collect()
    }

    fn cosigners(&self) -> Result<Vec<Cosigner>, Failures> {
        let witnesses = self.audit.witnesses.iter();
        witnesses
            .map(|spec| Ok(Cosigner::new(spec, witness_key(&spec.key)?)))
            .collect()
    }

    /// Has a witness cosign each new checkpoint.
    async fn cosign(
        &self,
        cosigner: Cosigner,
        kept: &Kept,
        shown: &Shown,
        mut news: News,
        say: Say<'_>,
    ) -> Infallible {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let (mut cosigned, mut failing) = (None, false);
        loop {
            news.mark_unchanged();
            let archive = match Archive::open(&self.audit.directory) {
                Ok(archive) => archive,
                Err(error) => {
                    say(Weight::Warning, &chain(&error));
                    sleep(LONGEST_WAIT).await;
                    continue;
                }
            };
            let note = archive.note().ok().flatten();
            if note.is_none() || note == cosigned {
                // The sender of news lives as long as this.
                if news.changed().await.is_err() {
                    sleep(LONGEST_WAIT).await;
                }
                continue;
            }
            let name = cosigner.key.name();
            match cosigner.ask(&archive, kept).await {
                Ok(found) => {
                    shown.set(Id::Witnessed, &[name], number(found.head.size));
                    shown.set(Id::WitnessUp, &[name], 1.0);
                    if std::mem::take(&mut failing) {
                        say(Weight::Notice, &format!("witness {name} cosigns again"));
                    }
                    backoff.reset();
                    cosigned = note;
                }
                Err(error) => {
                    shown.set(Id::WitnessUp, &[name], 0.0);
                    if !std::mem::replace(&mut failing, true) {
                        let weight = match error.exit() {
                            Exit::No => Weight::Alert,
                            _ => Weight::Warning,
                        };
                        say(weight, &format!("witness {name}: {error}"));
                    }
                    sleep(backoff.next(random())).await;
                }
            }
        }
    }
}

fn tell(say: Say<'_>, sink: &str, heard: &Heard) {
    let weight = match heard {
        Heard::Works => Weight::Notice,
        Heard::Failing(_) | Heard::Pruned(_) | Heard::Unknown(_) => Weight::Warning,
        Heard::Replaced(_) | Heard::Unreadable(_) => Weight::Alert,
    };
    say(weight, &format!("sink {sink}: {heard}"));
}

/// Says that the log may have grown: when inotify says so, and now and then.
async fn follow(directory: &Path, news: watch::Sender<u64>, say: Say<'_>) -> Infallible {
    let mask = WatchMask::MODIFY | WatchMask::CREATE | WatchMask::MOVED_TO;
    let notifier = Notifier::new().and_then(|notifier| {
        notifier.add(directory, mask)?;
        Ok(notifier)
    });
    let mut notifier = match notifier {
        Ok(notifier) => Some(notifier),
        Err(error) => {
            say(
                Weight::Notice,
                &format!("no inotify ({error}): the log is looked at each second"),
            );
            None
        }
    };
    loop {
        let seen = async {
            match &notifier {
                Some(notifier) => notifier.next().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        let works = tokio::select! {
            works = seen => works,
            () = sleep(LOOK) => true,
        };
        if !works {
            notifier = None;
        }
        sleep(TOGETHER).await;
        news.send_modify(|number| *number += 1);
    }
}

/// Tells systemd that it runs (sd_notify(3)), where that is wanted.
fn ready() {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
        return;
    };
    let sent = datagram::Sender::connect(&name).and_then(|sender| sender.send(b"READY=1", &[]));
    if let Err(error) = sent {
        eprintln!("hushpipe: warning: systemd was not notified: {error}");
    }
}
