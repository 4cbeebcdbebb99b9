//! libnvidia-ml.so.1: the management library of the guest.
