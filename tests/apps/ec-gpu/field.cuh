// What the generator of ec-gpu writes in front of its sources for a field: the scalars of BLS12-381 in limbs of 32 bits.
#pragma once
typedef unsigned int uint;
typedef unsigned long ulong;
#include <common.cl>

#define FIELD_LIMBS 8
#define FIELD_LIMB_BITS 32
#define FIELD_limb uint
#define FIELD_INV 4294967295u
struct FIELD {
    uint val[FIELD_LIMBS];
};
// The modulus r, 2^256 mod r, 2^512 mod r.
#define MODULUS {{0x00000001, 0xffffffff, 0xfffe5bfe, 0x53bda402, 0x09a1d805, 0x3339d808, 0x299d7d48, 0x73eda753}}
__constant__ FIELD FIELD_ZERO = {{0}};
__constant__ FIELD FIELD_P = MODULUS;
__constant__ FIELD FIELD_ONE = {{0xfffffffe, 0x00000001, 0x00034802, 0x5884b7fa, 0xecbc4ff5, 0x998c4fef, 0xacc5056f, 0x1824b159}};
__constant__ FIELD FIELD_R2 = {{0xf3f29c6d, 0xc999e990, 0x87925c23, 0x2b6cedcb, 0x7254398f, 0x05d31496, 0x9f59ff11, 0x0748d9d9}};

__device__ FIELD FIELD_add_nvidia(FIELD a, FIELD b) {
    a.val[0] = add_cc(a.val[0], b.val[0]);
    for (int i = 1; i < FIELD_LIMBS - 1; ++i) a.val[i] = addc_cc(a.val[i], b.val[i]);
    a.val[FIELD_LIMBS - 1] = addc(a.val[FIELD_LIMBS - 1], b.val[FIELD_LIMBS - 1]);
    return a;
}

__device__ FIELD FIELD_sub_nvidia(FIELD a, FIELD b) {
    uint borrow = 0;
    for (int i = 0; i < FIELD_LIMBS; ++i) {
        ulong difference = ulong(a.val[i]) - b.val[i] - borrow;
        a.val[i] = uint(difference);
        borrow = uint(difference >> 32) & 1;
    }
    return a;
}

#include <field.cl>
#include <fft.cl>
#include <test.cl>
