//! The table of rooms (who may import whom) and where `unsafe` may stand.
