//! Sudden death: SIGKILL at any moment, and the power cut of a sealed store. What is left is whole,
//! and the next start finds nothing of the dead one.

mod init;
mod kills;
mod power;
mod trace;
