//! CUDA fatbin containers: headers, compressed payloads, choice of the best PTX.
