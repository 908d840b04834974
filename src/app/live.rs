//! What stays behind a running program: its files, its FIFOs, and the directories they lie in.

use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::task::Poll;

use super::failure::Failures;
use super::host::of_delivery;
use crate::delivery::{
    Carried, DeliveryError, Fifos, Files, Inspection, Layout, Links, Live, Owner, Served,
};
use crate::model::{Generation, IsolationUsed, Receipt};
use crate::secret::SecretBytes;

/// The deliveries that can change, and what holds them.
pub struct Deliveries {
    /// In the order in which they are swapped: a rename, which files end with, fails least. The
    /// directories are last.
    parts: Vec<Box<dyn Live>>,
    /// The program has private files.
    private: bool,
    /// The program has namespaces of its own, though it has no private files.
    apart: bool,
}

impl Deliveries {
    /// For plans without files and FIFOs.
    pub const fn empty() -> Self {
        Self {
            parts: Vec::new(),
            private: false,
            apart: false,
        }
    }

    /// Of a program that has namespaces of its own.
    pub fn apart(self, apart: bool) -> Self {
        Self { apart, ..self }
    }

    /// Puts the first generation into directories that no one looks into yet. `held` has them for as
    /// long as the program runs.
    pub fn new(
        layout: &Layout,
        directories: Vec<OwnedFd>,
        owners: Vec<Owner>,
        (isolation, held): (IsolationUsed, Box<dyn Live>),
        (payloads, receipt): (&[SecretBytes], &Receipt),
    ) -> Result<Self, Failures> {
        let mut fifos = Fifos::new(layout, &directories, &owners, payloads).map_err(one)?;
        let mut files = Files::new(layout, directories, owners).map_err(one)?;
        files
            .stage(Generation::FIRST, &Carried::all(payloads))
            .and_then(|()| files.swap(receipt))
            .map_err(one)?;
        if isolation == IsolationUsed::Shared {
            fifos.expect_strangers();
        }
        Ok(Self {
            parts: vec![Box::new(fifos), Box::new(files), held],
            private: isolation == IsolationUsed::Private,
            apart: false,
        })
    }

    /// With links to what is delivered, which go when that is gone.
    pub fn with(mut self, links: Links) -> Self {
        if !links.is_empty() {
            self.parts.push(Box::new(links));
        }
        self
    }

    /// Serves until something happened, or until what is delivered is to be looked at; never ends where
    /// nothing is.
    pub async fn serve(&mut self) -> Result<Served, DeliveryError> {
        let mut serving: Vec<_> = self.parts.iter_mut().map(|part| part.serve()).collect();
        poll_fn(|context| {
            let mut polled = serving
                .iter_mut()
                .rev()
                .map(|one| one.as_mut().poll(context));
            polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await
    }

    /// Looks whether what is delivered is where it was put, and puts it back.
    pub fn inspect(&mut self) -> Inspection {
        let mut found = Inspection::default();
        for part in self.parts.iter_mut().rev() {
            part.inspect(&mut found);
        }
        found
    }

    /// Writes a generation beside the one that is in place; `None` stays as it is.
    pub fn stage(
        &mut self,
        generation: Generation,
        payloads: &[Option<SecretBytes>],
    ) -> Result<(), Failures> {
        let carried = Carried::changed(payloads);
        let mut parts = self.parts.iter_mut();
        let staged = parts.try_for_each(|part| part.stage(generation, &carried));
        staged.map_err(|error| {
            // The error that is returned says more; the next one discards what is left.
            self.discard().ok();
            one(error)
        })
    }

    /// Puts the staged generation in place, or leaves the one before.
    pub fn swap(&mut self, receipt: &Receipt) -> Result<(), Failures> {
        for index in 0..self.parts.len() {
            let (swapped, rest) = self.parts.split_at_mut(index);
            if let Err(error) = rest[0].swap(receipt) {
                let back = swapped
                    .iter_mut()
                    .rev()
                    .filter_map(|part| part.swap_back(receipt).err());
                return Err(std::iter::once(error)
                    .chain(back)
                    .map(of_delivery)
                    .collect());
            }
        }
        Ok(())
    }

    /// Puts the generation before the one that is in place back, until that one is retired.
    pub fn swap_back(&mut self, receipt: &Receipt) -> Result<(), Failures> {
        let mut parts = self.parts.iter_mut().rev();
        parts
            .try_for_each(|part| part.swap_back(receipt))
            .map_err(one)
    }

    /// Whether the program has namespaces of its own, without private files.
    pub const fn is_apart(&self) -> bool {
        self.apart
    }

    /// Whether the program has private files.
    pub const fn is_private(&self) -> bool {
        self.private
    }

    /// Removes what the program had before.
    pub fn retire(&mut self) -> Result<(), Failures> {
        all(self.parts.iter_mut().map(|part| part.retire()))
    }

    /// Removes what was staged and will not be used.
    pub fn discard(&mut self) -> Result<(), Failures> {
        all(self.parts.iter_mut().map(|part| part.discard()))
    }

    /// For a hushpipe that could not become the program: takes away what it mounted for itself, and
    /// the directories it made for that.
    pub fn give_up(self) -> Result<(), Failures> {
        all(self.parts.into_iter().map(Live::give_up))
    }

    /// The paths of private deliveries at which another program made an empty directory on the host;
    /// those are removed.
    pub fn mistaken(&self) -> Vec<PathBuf> {
        let parts = self.parts.iter();
        parts.flat_map(|part| part.mistaken()).collect()
    }

    /// Removes everything at the end, and says what could not be.
    pub fn remove(self) -> Result<(), Failures> {
        all(self.parts.into_iter().map(Live::remove))
    }
}

/// Every error, after all was done that can be.
fn all(results: impl Iterator<Item = Result<(), DeliveryError>>) -> Result<(), Failures> {
    let failures: Failures = results.filter_map(Result::err).map(of_delivery).collect();
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures)
    }
}

fn one(error: DeliveryError) -> Failures {
    vec![of_delivery(error)]
}
