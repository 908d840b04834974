//! Telling the program of a new generation.

use std::rc::Rc;
use std::time::Duration;

use super::beside::Beside;
use crate::http::{self, Method};
use crate::model::{Event, HttpMethod, Observer, RotateAction, Signal};

/// Does all of it, one after the other; the first fault ends it.
pub async fn tell(
    beside: Beside<'_>,
    actions: Vec<RotateAction>,
    observer: Rc<dyn Observer>,
) -> Result<(), String> {
    for action in &actions {
        // A program on its way out may have its handlers gone already: the signal would kill it, and
        // change its exit code.
        if beside.handle.is_stopping() {
            return Ok(());
        }
        one(&beside, action, observer.as_ref()).await?;
    }
    Ok(())
}

async fn one(
    beside: &Beside<'_>,
    action: &RotateAction,
    observer: &dyn Observer,
) -> Result<(), String> {
    match action {
        RotateAction::Signal(signal) => send(beside, *signal, observer),
        RotateAction::Command { argv, timeout } => {
            beside.run(argv, *timeout).await?;
            told(observer, format!("command {}", argv[0]));
            Ok(())
        }
        RotateAction::Http {
            url,
            method,
            timeout,
        } => {
            let words = format!("{} {url}", named(*method));
            request(url, named(*method), *timeout).await?;
            told(observer, words);
            Ok(())
        }
        // A restart is told of by itself.
        RotateAction::Restart | RotateAction::Nothing => Ok(()),
    }
}

fn send(beside: &Beside<'_>, signal: Signal, observer: &dyn Observer) -> Result<(), String> {
    match beside.handle.send(signal, beside.plan.run.forward.to_group) {
        Ok(true) => {
            observer.observe(&Event::Notified { signal });
            Ok(())
        }
        // The program has just ended: nobody is left to be told.
        Ok(false) => Ok(()),
        Err(error) => Err(format!("{signal} cannot be sent: {error}")),
    }
}

fn told(observer: &dyn Observer, how: String) {
    observer.observe(&Event::Told { how });
}

fn named(method: HttpMethod) -> Method {
    match method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
    }
}

/// One request; an answer other than 2xx is a fault.
pub async fn request(url: &str, method: Method, limit: Duration) -> Result<(), String> {
    let words = format!("{method} {url}");
    match http::probe(url, method, limit).await {
        Ok(200..=299) => Ok(()),
        Ok(status) => Err(format!("{words} was answered by status {status}")),
        Err(why) => Err(format!("{words}: {why}")),
    }
}
