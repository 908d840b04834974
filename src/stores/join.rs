//! Futures driven side by side on the one thread.

use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Futures that are not ready, and their places.
struct Running<F>(Vec<(usize, Pin<Box<F>>)>);

impl<F: Future> Running<F> {
    fn new(futures: impl IntoIterator<Item = F>) -> Self {
        Self(futures.into_iter().map(Box::pin).enumerate().collect())
    }

    /// Drives each once; ready when none is left.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        mut take: impl FnMut(usize, F::Output),
    ) -> Poll<()> {
        self.0
            .retain_mut(|(index, future)| match future.as_mut().poll(context) {
                Poll::Ready(output) => {
                    take(*index, output);
                    false
                }
                Poll::Pending => true,
            });
        if self.0.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// Drives all of them at once; their outputs in their order.
pub async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running = Running::new(futures);
    let mut outputs = Vec::with_capacity(running.0.len());
    poll_fn(|context| running.poll(context, |index, output| outputs.push((index, output)))).await;
    outputs.sort_unstable_by_key(|(index, _)| *index);
    outputs.into_iter().map(|(_, output)| output).collect()
}

/// What can wait for others in protected memory.
pub trait Keep: Sized {
    /// While it waits.
    type Kept;
    /// Lets it wait.
    fn keep(self) -> Self::Kept;
    /// The wait has ended.
    fn take_up(kept: Self::Kept) -> Self;
}

impl<T: Keep, E> Keep for Result<T, E> {
    type Kept = Result<T::Kept, E>;

    fn keep(self) -> Self::Kept {
        self.map(T::keep)
    }

    fn take_up(kept: Self::Kept) -> Self {
        kept.map(T::take_up)
    }
}

impl<T: Keep> Keep for Vec<T> {
    type Kept = Vec<T::Kept>;

    fn keep(self) -> Self::Kept {
        self.into_iter().map(T::keep).collect()
    }

    fn take_up(kept: Self::Kept) -> Self {
        kept.into_iter().map(T::take_up).collect()
    }
}

impl<T: Keep> Keep for (usize, T) {
    type Kept = (usize, T::Kept);

    fn keep(self) -> Self::Kept {
        (self.0, self.1.keep())
    }

    fn take_up((index, kept): Self::Kept) -> Self {
        (index, T::take_up(kept))
    }
}

enum Answer<T: Keep> {
    Open(T),
    Kept(T::Kept),
}

impl<T: Keep> Answer<T> {
    fn keep(self) -> Self {
        match self {
            Self::Open(output) => Self::Kept(output.keep()),
            kept @ Self::Kept(_) => kept,
        }
    }

    fn take_up(self) -> T {
        match self {
            Self::Open(output) => output,
            Self::Kept(kept) => T::take_up(kept),
        }
    }
}

/// As [`all`], for what holds values: those that are there wait in protected memory for those that
/// are not, which may take as long as a store that is down is tried.
pub async fn values<F: Future<Output: Keep>>(
    futures: impl IntoIterator<Item = F>,
) -> Vec<F::Output> {
    let mut running = Running::new(futures);
    let mut answers = Vec::with_capacity(running.0.len());
    poll_fn(|context| {
        let polled = running.poll(context, |index, output| {
            answers.push((index, Answer::Open(output)));
        });
        if polled.is_pending() {
            let waiting = mem::take(&mut answers).into_iter();
            answers = waiting
                .map(|(index, answer)| (index, answer.keep()))
                .collect();
        }
        polled
    })
    .await;
    answers.sort_unstable_by_key(|(index, _)| *index);
    let answers = answers.into_iter();
    answers.map(|(_, answer)| answer.take_up()).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;

    use super::{all, values};
    use crate::model::Version;
    use crate::secret::{SecretBytes, Value};
    use crate::stores::{Fault, Fetched};

    fn fetched(value: Value) -> Fetched {
        let version = Version("7".to_owned());
        Fetched { value, version }
    }

    fn bytes(text: &str) -> SecretBytes {
        SecretBytes::new(text.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn values_that_waited_are_as_they_were() {
        let fields = BTreeMap::from([
            ("a".to_owned(), bytes("1").into()),
            ("b".to_owned(), bytes("").into()),
        ]);
        let all = [Value::bytes(bytes("raw")), Value::Fields(fields)];
        // The last is there first.
        let futures = all.into_iter().enumerate().map(async |(index, value)| {
            for _ in index..3 {
                tokio::task::yield_now().await;
            }
            vec![Ok::<_, Fault>(fetched(value))]
        });
        let answers: Vec<_> = values(futures).await.into_iter().flatten().collect();
        let [Ok(raw), Ok(fields)] = answers.as_slice() else {
            panic!("two answers");
        };
        assert!(raw.value.raw().unwrap().same(&bytes("raw")));
        assert!(fields.value.field("a").unwrap().same(&bytes("1")));
        assert!(fields.value.field("b").unwrap().is_empty());
        assert_eq!(fields.version, Version("7".to_owned()));
    }

    #[tokio::test]
    async fn outputs_keep_the_order_of_the_futures_and_none_waits_for_another() {
        let turn = Cell::new(0);
        // Each ends only when the ones after it have: in a row, this would never end.
        let futures = (0..3).map(|index| {
            let turn = &turn;
            async move {
                while turn.get() != 2 - index {
                    tokio::task::yield_now().await;
                }
                turn.set(turn.get() + 1);
                index
            }
        });
        assert_eq!(all(futures).await, [0, 1, 2]);
        assert!(all(Vec::<std::future::Ready<()>>::new()).await.is_empty());
    }
}
