//! The channel between guest and worker: ring, completion area, staging heap, carriers.
