//! What a refusal becomes.

use hn_portmap::{PcpCode, UpnpService, natpmp_code, pcp_code, upnp_code};
use hn_types::portmap::MapRefusal;

#[test]
fn every_refusal_has_its_number_in_each_protocol() {
    // Refusal; WANIPConnection:1, :2, WANIPv6FirewallControl:1; NAT-PMP; PCP.
    let table = [
        (MapRefusal::Off, [606, 606, 703], 2, 2),
        (MapRefusal::NotYours, [606, 606, 606], 2, 2),
        (MapRefusal::Nonce, [606, 606, 606], 2, 2),
        (MapRefusal::Conflict, [718, 718, 718], 4, 11),
        (MapRefusal::Reserved, [718, 729, 729], 4, 11),
        (MapRefusal::Limit, [501, 728, 701], 4, 10),
        (MapRefusal::Full, [501, 728, 701], 4, 8),
        (MapRefusal::NoUplink, [501, 501, 501], 3, 7),
        (MapRefusal::BadAddress, [402, 402, 402], 2, 2),
        (MapRefusal::NotFound, [714, 714, 704], 4, 8),
        (MapRefusal::Remotes, [726, 726, 501], 4, 13),
        (MapRefusal::Unsupported, [501, 501, 703], 4, 4),
        (MapRefusal::Failed, [501, 501, 501], 4, 8),
    ];
    assert_eq!(table.map(|row| row.0), MapRefusal::ALL);
    for (refusal, upnp, natpmp, pcp) in table {
        let services = [UpnpService::WanIp1, UpnpService::WanIp2, UpnpService::Firewall6];
        assert_eq!(services.map(|service| upnp_code(refusal, service).number), upnp, "{refusal:?}");
        assert_eq!(natpmp_code(refusal).number(), natpmp, "{refusal:?}");
        assert_eq!(pcp_code(refusal).number(), pcp, "{refusal:?}");
    }
}

#[test]
fn errors_that_pass_are_believed_for_a_short_time() {
    // RFC 6887 §7.4.
    for code in [PcpCode::NetworkFailure, PcpCode::NoResources, PcpCode::UserExQuota] {
        assert_eq!(code.lifetime_s(), 30);
    }
    for code in [PcpCode::NotAuthorized, PcpCode::UnsuppProtocol, PcpCode::AddressMismatch] {
        assert_eq!(code.lifetime_s(), 1_800);
    }
}
