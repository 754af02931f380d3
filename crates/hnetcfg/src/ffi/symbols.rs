//! The identifiers as data symbols, as C programs link to them.
#![expect(missing_docs, reason = "each is the identifier of what it is called after")]

use crate::types::GUID;

macro_rules! identifiers {
    ($($name:ident = $number:literal;)*) => {
        $(#[unsafe(no_mangle)] pub static $name: GUID = GUID::from_u128($number);)*
    };
}

identifiers! {
    GUID_NULL = 0;
    IID_NULL = 0;
    IID_IUnknown = 0x00000000_0000_0000_c000_000000000046;
    IID_IClassFactory = 0x00000001_0000_0000_c000_000000000046;
    IID_IDispatch = 0x00020400_0000_0000_c000_000000000046;
    IID_IEnumVARIANT = 0x00020404_0000_0000_c000_000000000046;
    CLSID_NetSharingManager = 0x5c63c1ad_3956_4ff8_8486_40034758315b;
    CLSID_ConnectionManager = 0xba126ad1_2166_11d1_b1d0_00805fc1270e;
    IID_IEnumNetConnection = 0xc08956a0_1cd3_11d1_b1c5_00805fc1270e;
    IID_INetConnection = 0xc08956a1_1cd3_11d1_b1c5_00805fc1270e;
    IID_INetConnectionManager = 0xc08956a2_1cd3_11d1_b1c5_00805fc1270e;
    IID_IEnumNetSharingPortMapping = 0xc08956b0_1cd3_11d1_b1c5_00805fc1270e;
    IID_INetSharingPortMapping = 0xc08956b1_1cd3_11d1_b1c5_00805fc1270e;
    IID_IEnumNetSharingPublicConnection = 0xc08956b4_1cd3_11d1_b1c5_00805fc1270e;
    IID_IEnumNetSharingPrivateConnection = 0xc08956b5_1cd3_11d1_b1c5_00805fc1270e;
    IID_INetSharingConfiguration = 0xc08956b6_1cd3_11d1_b1c5_00805fc1270e;
    IID_INetSharingManager = 0xc08956b7_1cd3_11d1_b1c5_00805fc1270e;
    IID_IEnumNetSharingEveryConnection = 0xc08956b8_1cd3_11d1_b1c5_00805fc1270e;
    IID_INetConnectionProps = 0xf4277c95_ce5b_463d_8167_5662d9bcaa72;
    IID_INetSharingPortMappingProps = 0x24b7e9b5_e38f_4685_851b_00892cf5f940;
    IID_INetSharingPortMappingCollection = 0x02e4a2de_da20_4e34_89c8_ac22275a010b;
    IID_INetSharingPublicConnectionCollection = 0x7d7a6355_f372_4971_a149_bfc927be762a;
    IID_INetSharingPrivateConnectionCollection = 0x38ae69e0_4409_402a_a2cb_e965c727f840;
    IID_INetSharingEveryConnectionCollection = 0x33c4643c_7811_46fa_a89a_768597bd7223;
}
