//! How an exported function is written: [`runtime_api!`], [`per_thread_api!`], and [`forward_api!`] where the driver does it all.

/// Writes exported functions. The body is a `Result<(), Error>`; an error becomes the return value and the thread's last error.
macro_rules! runtime_api {
    ($($(#[$meta:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block)*) => {$(
        $(#[$meta])*
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: $type),*) -> i32 {
            #[allow(clippy::too_many_arguments)]
            fn body($($argument: $type),*) -> Result<(), $crate::error::Error> $body
            $crate::thread::finish(body($($argument),*))
        }
    )*};
}

/// Writes pairs of exported functions that differ in what stream 0 means to them: the legacy default stream, or that of the thread.
/// In the body, the name before the arguments is the handle that stream 0 stands for.
macro_rules! per_thread_api {
    ($($(#[$meta:meta])* fn $name:ident/$per_thread:ident[$default:ident]($($argument:ident: $type:ty),* $(,)?) $body:block)*) => {$(
        $(#[$meta])*
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: $type),*) -> i32 {
            #[allow(clippy::too_many_arguments)]
            fn body($default: $crate::abi::DefaultStream, $($argument: $type),*) -> Result<(), $crate::error::Error> $body
            $crate::thread::finish(body($crate::abi::DefaultStream::Legacy, $($argument),*))
        }
        /// The same with the thread's own default stream.
        #[unsafe(no_mangle)]
        extern "C" fn $per_thread($($argument: $type),*) -> i32 {
            #[allow(clippy::too_many_arguments)]
            fn body($default: $crate::abi::DefaultStream, $($argument: $type),*) -> Result<(), $crate::error::Error> $body
            $crate::thread::finish(body($crate::abi::DefaultStream::PerThread, $($argument),*))
        }
    )*};
}

/// Writes exported functions that hand their arguments to a function of the driver as they are, with a context current.
macro_rules! forward_api {
    ($($(#[$meta:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) => $driver:ident;)*) => {
        runtime_api! {$(
            $(#[$meta])*
            fn $name($($argument: $type),*) {
                $crate::thread::context()?.$driver($($argument),*)
            }
        )*}
    };
}
