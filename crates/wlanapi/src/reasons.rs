//! Sentences for `WLAN_REASON_CODE`.

/// Code and sentence, ascending.
const SENTENCES: &[(u32, &str)] = &[
    (0, "The operation was successful."),
    (65_537, "The reason for the failure is unknown."),
    (131_073, "The wireless network is not compatible with this adapter."),
    (131_074, "The profile is not compatible with this adapter."),
    (163_841, "The profile does not ask for an automatic connection."),
    (163_842, "The wireless network is not visible."),
    (163_843, "A policy of the administrator forbids the connection."),
    (163_844, "A user's filter forbids the connection."),
    (163_845, "Networks of this kind are not allowed."),
    (163_846, "The network is among those that failed a short while ago."),
    (163_847, "The network is blocked."),
    (163_848, "The list of network names is too long."),
    (163_849, "The request to connect failed."),
    (163_850, "The request to scan failed."),
    (163_851, "The network is not available."),
    (163_852, "The profile was changed or deleted before the connection was made."),
    (163_853, "The key does not match."),
    (163_854, "The user did not answer."),
    (163_855, "The profile of a hosted network cannot be used by a client."),
    (163_856, "The profile of a hosted network is not allowed."),
    (196_609, "The operating system does not support these security settings."),
    (196_610, "The adapter does not support these security settings."),
    (196_611, "The kind of network does not match."),
    (196_612, "The physical layers do not match."),
    (196_613, "The data rates do not match."),
    (229_377, "The user cancelled the connection."),
    (229_378, "Association with the access point failed."),
    (229_379, "Association with the access point took too long."),
    (229_380, "Preparing the security of the connection failed."),
    (229_381, "The security negotiation could not be started."),
    (229_382, "The security negotiation failed."),
    (229_383, "The security negotiation took too long."),
    (229_384, "Roaming to another access point failed."),
    (229_385, "The security negotiation failed while roaming."),
    (229_387, "The driver ended the connection."),
    (229_388, "The driver failed."),
    (229_391, "Disconnecting took too long."),
    (229_392, "An internal failure stopped the operation."),
    (229_394, "There were too many attempts at the security negotiation."),
    (229_395, "The hosted network could not be started."),
    (229_396, "No access point is visible."),
    (294_932, "The key is probably wrong."),
    (524_289, "The profile does not follow the schema."),
    (524_290, "The profile is missing."),
    (524_291, "The name of the profile is not valid."),
    (524_292, "The type of the profile is not valid."),
    (524_293, "The physical layer in the profile is not valid."),
    (524_294, "The security settings in the profile are missing."),
    (524_301, "The kind of network in the profile is not valid."),
    (524_307, "The name of the network in the profile is not valid."),
    (524_308, "The profile has too many network names."),
    (524_310, "The greatest number of clients of the hosted network is not valid."),
    (524_311, "The channel is not valid."),
    (524_312, "The adapter does not support this mode of operation."),
    (524_313, "The profile of a hosted network cannot ask for an automatic connection."),
    (524_314, "An automatic connection is not allowed."),
];

/// What the code means; codes without a sentence of their own are unknown reasons.
pub(crate) fn sentence(code: u32) -> &'static str {
    let found = SENTENCES.binary_search_by_key(&code, |(known, _)| *known).ok();
    found.and_then(|index| SENTENCES.get(index)).map_or("The reason for the failure is unknown.", |row| row.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_found_by_code() {
        assert!(SENTENCES.is_sorted_by_key(|row| row.0));
        assert_eq!(sentence(524_310), "The greatest number of clients of the hosted network is not valid.");
        assert_eq!(sentence(77), sentence(65_537));
    }
}
