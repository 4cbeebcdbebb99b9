//! The instructions by what they do, for 32-bit and for 64-bit lanes.

use iced_x86::Code;

use super::vector::Pair;

macro_rules! pairs {
    ($($(#[$doc:meta])* $name:ident = $narrow:ident, $wide:ident;)*) => {
        $($(#[$doc])* pub(super) const $name: Pair = [Code::$narrow, Code::$wide];)*
    };
}

pairs! {
    MOVE = EVEX_Vmovdqu32_zmm_k1z_zmmm512, EVEX_Vmovdqu64_zmm_k1z_zmmm512;
    BROADCAST = EVEX_Vpbroadcastd_zmm_k1z_xmmm32, EVEX_Vpbroadcastq_zmm_k1z_xmmm64;
    BLEND = EVEX_Vpblendmd_zmm_k1z_zmm_zmmm512b32, EVEX_Vpblendmq_zmm_k1z_zmm_zmmm512b64;

    ADD = EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32, EVEX_Vpaddq_zmm_k1z_zmm_zmmm512b64;
    SUB = EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32, EVEX_Vpsubq_zmm_k1z_zmm_zmmm512b64;
    MUL = EVEX_Vpmulld_zmm_k1z_zmm_zmmm512b32, EVEX_Vpmullq_zmm_k1z_zmm_zmmm512b64;
    ABS = EVEX_Vpabsd_zmm_k1z_zmmm512b32, EVEX_Vpabsq_zmm_k1z_zmmm512b64;
    MIN_U = EVEX_Vpminud_zmm_k1z_zmm_zmmm512b32, EVEX_Vpminuq_zmm_k1z_zmm_zmmm512b64;
    MAX_U = EVEX_Vpmaxud_zmm_k1z_zmm_zmmm512b32, EVEX_Vpmaxuq_zmm_k1z_zmm_zmmm512b64;
    MIN_S = EVEX_Vpminsd_zmm_k1z_zmm_zmmm512b32, EVEX_Vpminsq_zmm_k1z_zmm_zmmm512b64;
    MAX_S = EVEX_Vpmaxsd_zmm_k1z_zmm_zmmm512b32, EVEX_Vpmaxsq_zmm_k1z_zmm_zmmm512b64;

    AND = EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32, EVEX_Vpandq_zmm_k1z_zmm_zmmm512b64;
    AND_NOT = EVEX_Vpandnd_zmm_k1z_zmm_zmmm512b32, EVEX_Vpandnq_zmm_k1z_zmm_zmmm512b64;
    OR = EVEX_Vpord_zmm_k1z_zmm_zmmm512b32, EVEX_Vporq_zmm_k1z_zmm_zmmm512b64;
    XOR = EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32, EVEX_Vpxorq_zmm_k1z_zmm_zmmm512b64;
    TERNARY = EVEX_Vpternlogd_zmm_k1z_zmm_zmmm512b32_imm8, EVEX_Vpternlogq_zmm_k1z_zmm_zmmm512b64_imm8;

    SHIFT_LEFT = EVEX_Vpsllvd_zmm_k1z_zmm_zmmm512b32, EVEX_Vpsllvq_zmm_k1z_zmm_zmmm512b64;
    SHIFT_RIGHT_U = EVEX_Vpsrlvd_zmm_k1z_zmm_zmmm512b32, EVEX_Vpsrlvq_zmm_k1z_zmm_zmmm512b64;
    SHIFT_RIGHT_S = EVEX_Vpsravd_zmm_k1z_zmm_zmmm512b32, EVEX_Vpsravq_zmm_k1z_zmm_zmmm512b64;
    SHIFT_LEFT_BY = EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8, EVEX_Vpsllq_zmm_k1z_zmmm512b64_imm8;
    SHIFT_RIGHT_U_BY = EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8, EVEX_Vpsrlq_zmm_k1z_zmmm512b64_imm8;
    SHIFT_RIGHT_S_BY = EVEX_Vpsrad_zmm_k1z_zmmm512b32_imm8, EVEX_Vpsraq_zmm_k1z_zmmm512b64_imm8;
    LEADING_ZEROS = EVEX_Vplzcntd_zmm_k1z_zmmm512b32, EVEX_Vplzcntq_zmm_k1z_zmmm512b64;
    ONES = EVEX_Vpopcntd_zmm_k1z_zmmm512b32, EVEX_Vpopcntq_zmm_k1z_zmmm512b64;

    COMPARE_U = EVEX_Vpcmpud_kr_k1_zmm_zmmm512b32_imm8, EVEX_Vpcmpuq_kr_k1_zmm_zmmm512b64_imm8;
    COMPARE_S = EVEX_Vpcmpd_kr_k1_zmm_zmmm512b32_imm8, EVEX_Vpcmpq_kr_k1_zmm_zmmm512b64_imm8;
    EQUAL = EVEX_Vpcmpeqd_kr_k1_zmm_zmmm512b32, EVEX_Vpcmpeqq_kr_k1_zmm_zmmm512b64;
    ANY_BIT = EVEX_Vptestmd_kr_k1_zmm_zmmm512b32, EVEX_Vptestmq_kr_k1_zmm_zmmm512b64;
    NO_BIT = EVEX_Vptestnmd_kr_k1_zmm_zmmm512b32, EVEX_Vptestnmq_kr_k1_zmm_zmmm512b64;
    SIGNS = EVEX_Vpmovd2m_kr_zmm, EVEX_Vpmovq2m_kr_zmm;
    COMPARE_F = EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae, EVEX_Vcmppd_kr_k1_zmm_zmmm512b64_imm8_sae;
    CLASS_F = EVEX_Vfpclassps_kr_k1_zmmm512b32_imm8, EVEX_Vfpclasspd_kr_k1_zmmm512b64_imm8;

    ADD_F = EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vaddpd_zmm_k1z_zmm_zmmm512b64_er;
    SUB_F = EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vsubpd_zmm_k1z_zmm_zmmm512b64_er;
    MUL_F = EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vmulpd_zmm_k1z_zmm_zmmm512b64_er;
    DIV_F = EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vdivpd_zmm_k1z_zmm_zmmm512b64_er;
    SQRT_F = EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er, EVEX_Vsqrtpd_zmm_k1z_zmmm512b64_er;
    MIN_F = EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae, EVEX_Vminpd_zmm_k1z_zmm_zmmm512b64_sae;
    MAX_F = EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae, EVEX_Vmaxpd_zmm_k1z_zmm_zmmm512b64_sae;
    /// `d = d * a + b`
    FMA_213 = EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vfmadd213pd_zmm_k1z_zmm_zmmm512b64_er;
    /// `d = a * b + d`
    FMA_231 = EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vfmadd231pd_zmm_k1z_zmm_zmmm512b64_er;
    RANGE_F = EVEX_Vrangeps_zmm_k1z_zmm_zmmm512b32_imm8_sae, EVEX_Vrangepd_zmm_k1z_zmm_zmmm512b64_imm8_sae;
    ROUND_F = EVEX_Vrndscaleps_zmm_k1z_zmmm512b32_imm8_sae, EVEX_Vrndscalepd_zmm_k1z_zmmm512b64_imm8_sae;
    FIX_F = EVEX_Vfixupimmps_zmm_k1z_zmm_zmmm512b32_imm8_sae, EVEX_Vfixupimmpd_zmm_k1z_zmm_zmmm512b64_imm8_sae;
}
