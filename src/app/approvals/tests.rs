//! Approvals from the request to the last use.
