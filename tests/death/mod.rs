//! Sudden death: SIGKILL at any moment, and the power cut of a sealed store. What is left is whole,
//! and the next start finds nothing of the dead one.

mod kills;
mod power;
mod trace;
