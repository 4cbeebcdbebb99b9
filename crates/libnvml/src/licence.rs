//! The licence of the vGPU, as a guest sees it.
//!
//! vGPUs for Compute are one licensed product. Nothing hands out licences to guests yet, and nothing is held back from them
//! without: the feature is there, unlicensed, in use.

use crate::abi::{LICENCE_TEXT, LicenceExpiry, LicensableFeature, LicensableFeatures, field, put};
use crate::device::export;
use crate::state::{self, Device};
use crate::status::Status;
use std::ffi::{c_char, c_uint};

/// `NVML_GRID_LICENSE_FEATURE_CODE_COMPUTE`
const FEATURE_COMPUTE: c_uint = 4;
/// The product of vGPUs for Compute.
const PRODUCT: &str = "NVIDIA Virtual Compute Server";

/// What every version of the structure has of a feature.
type First = (c_uint, c_uint, [c_char; LICENCE_TEXT]);

fn feature() -> First {
    (FEATURE_COMPUTE, 0, field(PRODUCT))
}

macro_rules! versions {
    ($( $(#[$doc:meta])* $name:ident: $extra:ty = $value:expr; )*) => { $(
        $(#[$doc])*
        ///
        /// # Safety
        /// `features` is null or valid for a write.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(device: Device, features: *mut LicensableFeatures<$extra>) -> u32 {
            export(stringify!($name), || {
                state::snapshot(device)?;
                // SAFETY: the caller's promise.
                unsafe { write(features, $value) }
            })
        }
    )* };
}

/// # Safety
/// `features` is null or valid for a write.
unsafe fn write<E: Copy + Default>(features: *mut LicensableFeatures<E>, extra: E) -> Result<(), Status> {
    let (code, state, text) = feature();
    let mut all = LicensableFeatures {
        supported: 1,
        count: 1,
        features: [LicensableFeature::<E>::default(); 3],
    };
    all.features[0] = LicensableFeature {
        code,
        state,
        licence_info: text,
        extra,
    };
    // SAFETY: the caller's promise.
    unsafe { put(features, all) }
}

/// Name of the product, as of version 2.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Product {
    name: [c_char; LICENCE_TEXT],
}

/// And whether it is in use, as of version 3.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Enabled {
    product: Product,
    enabled: c_uint,
}

/// And when the licence ends, as of version 4.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Expires {
    enabled: Enabled,
    expiry: LicenceExpiry,
}

impl Default for Product {
    fn default() -> Self {
        Self {
            name: [0; LICENCE_TEXT],
        }
    }
}

fn product() -> Product {
    Product { name: field(PRODUCT) }
}

fn enabled() -> Enabled {
    Enabled {
        product: product(),
        enabled: 1,
    }
}

versions! {
    /// Licensable features.
    nvmlDeviceGetGridLicensableFeatures: () = ();
    /// Licensable features with the names of products.
    nvmlDeviceGetGridLicensableFeatures_v2: Product = product();
    /// Licensable features, and whether they are in use.
    nvmlDeviceGetGridLicensableFeatures_v3: Enabled = enabled();
    /// Licensable features, and when licences end; of none that there is: not available.
    nvmlDeviceGetGridLicensableFeatures_v4: Expires = Expires { enabled: enabled(), expiry: LicenceExpiry::default() };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes as the public Python binding has them.
    #[test]
    fn structures_have_the_sizes_of_the_header() {
        assert_eq!(size_of::<LicensableFeatures<()>>(), 8 + 3 * 136);
        assert_eq!(size_of::<LicensableFeatures<Product>>(), 8 + 3 * 264);
        assert_eq!(size_of::<LicensableFeatures<Enabled>>(), 8 + 3 * 268);
        assert_eq!(size_of::<LicensableFeatures<Expires>>(), 8 + 3 * 284);
    }
}
