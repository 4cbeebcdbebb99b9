//! What the guest libraries share: the session with the worker.
