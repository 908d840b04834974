//! What stays behind a running program: its files, its FIFOs, and the directories they lie in.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::failure::Failures;
use super::host::of_delivery;
use crate::delivery::{
    DeliveryError, Fifos, Files, Inspection, Layout, MountPoints, Owner, SharedDirectories,
};
use crate::model::{Event, Generation, Receipt};
use crate::secret::SecretBytes;

/// The directories, for as long as the program runs.
pub enum Held {
    /// There are none.
    Nothing,
    /// Mount points that hushpipe made.
    Points(MountPoints),
    /// Directories that hushpipe made and locked.
    Shared(SharedDirectories),
}

/// The deliveries that can change.
pub struct Live {
    parts: Option<Parts>,
    held: Held,
    /// Between [`Live::stage`] and [`Live::swap`], which follow each other at once.
    staged: Option<Vec<Option<SecretBytes>>>,
    /// The program has namespaces of its own, though it has no private files.
    apart: bool,
}

/// What [`Live::serve`] ended with.
pub enum Served {
    /// Something happened.
    Event(Event),
    /// [`Live::inspect`] is to be called.
    Disturbed,
}

struct Parts {
    files: Files,
    fifos: Fifos,
}

impl Live {
    /// For plans without files and FIFOs.
    pub const fn empty() -> Self {
        Self {
            parts: None,
            held: Held::Nothing,
            staged: None,
            apart: false,
        }
    }

    /// Of a program that has namespaces of its own.
    pub fn apart(self, apart: bool) -> Self {
        Self { apart, ..self }
    }

    /// Puts the first generation into directories that nobody looks into yet.
    pub fn new(
        layout: &Layout,
        directories: Vec<OwnedFd>,
        owners: Vec<Owner>,
        held: Held,
        payloads: &[SecretBytes],
        _: &Receipt,
    ) -> Result<Self, Failures> {
        let mut parts = Parts::new(layout, directories, owners, payloads).map_err(one)?;
        if matches!(held, Held::Shared(_)) {
            parts.fifos.expect_strangers();
        }
        Ok(Self {
            parts: Some(parts),
            held,
            staged: None,
            apart: false,
        })
    }

    /// Serves FIFOs until one was read or failed, or until what is delivered is to be looked at; never
    /// ends where nothing is.
    pub async fn serve(&mut self) -> Result<Served, DeliveryError> {
        let Some(parts) = &mut self.parts else {
            return std::future::pending().await;
        };
        tokio::select! {
            served = parts.fifos.serve() => served.map(Served::Event),
            () = parts.files.disturbed() => Ok(Served::Disturbed),
        }
    }

    /// Looks whether what is delivered is where it was put, and puts it back.
    pub fn inspect(&mut self) -> Inspection {
        let Some(parts) = &mut self.parts else {
            return Inspection::default();
        };
        let mut found = parts.files.inspect();
        parts.fifos.inspect(&mut found);
        found
    }

    /// Writes a generation beside the one that is in place; `None` stays as it is.
    pub fn stage(
        &mut self,
        generation: Generation,
        payloads: Vec<Option<SecretBytes>>,
    ) -> Result<(), Failures> {
        if let Some(parts) = &mut self.parts {
            parts.files.stage(generation, &payloads).map_err(one)?;
        }
        self.staged = Some(payloads);
        Ok(())
    }

    /// Puts the staged generation in place: files by one rename, FIFOs for their next opening.
    pub fn swap(&mut self, _: &Receipt) -> Result<(), Failures> {
        let (Some(parts), Some(payloads)) = (&mut self.parts, self.staged.take()) else {
            return Ok(());
        };
        // FIFOs first: they can fail for want of memory, and a rename that works ends the swap.
        let replaced = parts.fifos.replace(&payloads);
        replaced.and_then(|()| parts.files.swap()).map_err(|fault| {
            parts.fifos.swap_back();
            one(fault)
        })
    }

    /// Puts the generation before the one that is in place back, until that one is retired.
    pub fn swap_back(&mut self, _: &Receipt) -> Result<(), Failures> {
        if let Some(parts) = &mut self.parts {
            parts.files.swap_back().map_err(one)?;
            parts.fifos.swap_back();
        }
        Ok(())
    }

    /// Whether the program has namespaces of its own, without private files.
    pub const fn is_apart(&self) -> bool {
        self.apart
    }

    /// Whether the program has private files.
    pub const fn is_private(&self) -> bool {
        matches!(self.held, Held::Points(_))
    }

    /// Removes what the program had before.
    pub fn retire(&mut self) -> Result<(), Failures> {
        let Some(parts) = &mut self.parts else {
            return Ok(());
        };
        parts.fifos.retire();
        parts.files.retire().map_err(one)
    }

    /// Removes what was staged and will not be used.
    pub fn discard(&mut self) -> Result<(), Failures> {
        self.staged = None;
        let Some(parts) = &mut self.parts else {
            return Ok(());
        };
        parts.fifos.retire();
        parts.files.discard().map_err(one)
    }

    /// For a hushpipe that could not become the program: takes away what it mounted for itself, and
    /// the directories it made for that.
    pub fn give_up(self) -> Result<(), Failures> {
        // On the way to the program their descriptors' numbers may have been given to others.
        std::mem::forget(self.parts);
        match self.held {
            Held::Nothing => Ok(()),
            Held::Points(points) => points.unmount().map_err(one),
            Held::Shared(shared) => shared.retire().map_err(one),
        }
    }

    /// The paths of private deliveries at which another program made an empty directory on the host;
    /// those are removed.
    pub fn mistaken(&self) -> Vec<PathBuf> {
        match &self.held {
            Held::Points(points) => points.mistaken(),
            Held::Nothing | Held::Shared(_) => Vec::new(),
        }
    }

    /// Removes everything at the end, and says what could not be.
    pub fn remove(self) -> Result<(), Failures> {
        drop(self.parts);
        match self.held {
            Held::Nothing => Ok(()),
            Held::Points(points) => points.retire().map_err(one),
            Held::Shared(shared) => shared.retire().map_err(one),
        }
    }
}

impl Parts {
    fn new(
        layout: &Layout,
        directories: Vec<OwnedFd>,
        owners: Vec<Owner>,
        payloads: &[SecretBytes],
    ) -> Result<Self, DeliveryError> {
        let fifos = Fifos::new(layout, &directories, &owners, payloads)?;
        let mut files = Files::new(layout, directories, owners)?;
        files.stage(Generation::FIRST, payloads)?;
        files.swap()?;
        Ok(Self { files, fifos })
    }
}

fn one(fault: DeliveryError) -> Failures {
    vec![of_delivery(fault)]
}
