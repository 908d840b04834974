//! Futures driven side by side on the one thread.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Drives all of them at once; their outputs in their order.
pub async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<(usize, Pin<Box<F>>)> =
        futures.into_iter().map(Box::pin).enumerate().collect();
    let mut outputs = Vec::with_capacity(running.len());
    poll_fn(|context| {
        running.retain_mut(|(index, future)| match future.as_mut().poll(context) {
            Poll::Ready(output) => {
                outputs.push((*index, output));
                false
            }
            Poll::Pending => true,
        });
        if running.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    outputs.sort_unstable_by_key(|(index, _)| *index);
    outputs.into_iter().map(|(_, output)| output).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::all;

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
