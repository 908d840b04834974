//! The real binary, as its users run it. `harness` has the words that the tests are written in.

mod harness;
