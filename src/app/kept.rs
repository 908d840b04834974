//! What the program was given, kept so that it can be given again: for a rollback, and for a restart
//! that shows some of it unchanged.

use std::io;
use std::rc::Rc;

use crate::secret::{Buffer, SecretBytes};

/// The payload of each of the plan's deliveries, in protected memory.
pub struct Kept(Vec<Rc<Buffer>>);

impl Kept {
    /// Copies a generation's payloads. The error is the kernel's word when it has no memory.
    pub fn new(payloads: &[SecretBytes]) -> io::Result<Self> {
        let kept = payloads.iter().map(keep);
        kept.collect::<io::Result<_>>().map(Self)
    }

    /// The next generation: what is not new in it is this one's.
    pub fn with(&self, payloads: &[Option<SecretBytes>]) -> io::Result<Self> {
        let kept = self.0.iter().zip(payloads).map(|(old, new)| match new {
            Some(payload) if !old.same(payload.expose()) => keep(payload),
            _ => Ok(Rc::clone(old)),
        });
        kept.collect::<io::Result<_>>().map(Self)
    }

    /// To be given to the program, and wiped at once.
    pub fn payloads(&self) -> Vec<SecretBytes> {
        let bytes = |buffer: &Rc<Buffer>| buffer.with(|bytes| SecretBytes::new(bytes.to_vec()));
        self.0.iter().map(bytes).collect()
    }
}

fn keep(payload: &SecretBytes) -> io::Result<Rc<Buffer>> {
    Buffer::new(payload.expose()).map(Rc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> SecretBytes {
        SecretBytes::new(text.as_bytes().to_vec())
    }

    #[test]
    fn the_next_generation_shares_what_is_not_new() {
        let first = Kept::new(&[bytes("a1"), bytes("b1"), bytes("c1")]).unwrap();
        let next = first
            .with(&[Some(bytes("a2")), None, Some(bytes("c1"))])
            .unwrap();
        let texts = |kept: &Kept| {
            let payloads = kept.payloads();
            payloads
                .iter()
                .map(|p| p.expose().to_vec())
                .collect::<Vec<_>>()
        };
        assert_eq!(texts(&first), [b"a1", b"b1", b"c1"]);
        assert_eq!(texts(&next), [b"a2", b"b1", b"c1"]);
        assert!(Rc::ptr_eq(&first.0[1], &next.0[1]) && Rc::ptr_eq(&first.0[2], &next.0[2]));
    }
}
