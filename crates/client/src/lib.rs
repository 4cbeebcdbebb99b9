//! Types and client of the manager's HTTP API.
