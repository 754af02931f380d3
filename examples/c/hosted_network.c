/* Starts the hosted network, prints what happens until a line (or the end) comes on standard input, and stops it.
 *
 * Build: cc -o hosted_network hosted_network.c -lwlanapi
 * Usage: hosted_network [SSID PASSPHRASE]
 */
#include <stdio.h>
#include <string.h>
#include <wlanapi.h>

static const char *state_name(WLAN_HOSTED_NETWORK_STATE state) {
    switch (state) {
    case wlan_hosted_network_unavailable: return "unavailable";
    case wlan_hosted_network_idle: return "idle";
    case wlan_hosted_network_active: return "active";
    }
    return "?";
}

/* Runs on a thread of the library. */
static void WINAPI notified(PWLAN_NOTIFICATION_DATA data, PVOID context) {
    (void)context;
    switch (data->NotificationCode) {
    case wlan_hosted_network_state_change: {
        const WLAN_HOSTED_NETWORK_STATE_CHANGE *change = data->pData;
        if (data->dwDataSize != sizeof *change) return;
        printf("state: %s -> %s (reason %d)\n", state_name(change->OldState), state_name(change->NewState),
               (int)change->StateChangeReason);
        break;
    }
    case wlan_hosted_network_peer_state_change: {
        const WLAN_HOSTED_NETWORK_DATA_PEER_STATE_CHANGE *change = data->pData;
        if (data->dwDataSize != sizeof *change) return;
        const UCHAR *mac = change->NewState.PeerMacAddress;
        printf("device: %02x:%02x:%02x:%02x:%02x:%02x %s (reason %d)\n", mac[0], mac[1], mac[2], mac[3], mac[4],
               mac[5],
               change->NewState.PeerAuthState == wlan_hosted_network_peer_state_authenticated ? "joined" : "left",
               (int)change->PeerStateChangeReason);
        break;
    }
    case wlan_hosted_network_radio_state_change: {
        const WLAN_HOSTED_NETWORK_RADIO_STATE *radio = data->pData;
        if (data->dwDataSize != sizeof *radio) return;
        printf("radio: software %s, hardware %s\n",
               radio->dot11SoftwareRadioState == dot11_radio_state_on ? "on" : "off",
               radio->dot11HardwareRadioState == dot11_radio_state_on ? "on" : "off");
        break;
    }
    }
    fflush(stdout);
}

static int failed(const char *what, DWORD code, WLAN_HOSTED_NETWORK_REASON reason) {
    const char *text = hostednet_error_text(code), *why = hostednet_reason_text(reason);
    fprintf(stderr, "%s failed: error %u, reason %d. %s", what, (unsigned)code, (int)reason, text ? text : "");
    fprintf(stderr, reason ? " Cause: %s.\n" : "\n", why ? why : "unknown");
    return 1;
}

static int configure(HANDLE session, const char *ssid, char *passphrase) {
    WLAN_HOSTED_NETWORK_REASON reason = wlan_hosted_network_reason_success;
    WLAN_HOSTED_NETWORK_CONNECTION_SETTINGS settings = {{0, {0}}, 100};
    if (strlen(ssid) > sizeof settings.hostedNetworkSSID.ucSSID) {
        fprintf(stderr, "the name is longer than 32 bytes\n");
        return 1;
    }
    settings.hostedNetworkSSID.uSSIDLength = (ULONG)strlen(ssid);
    memcpy(settings.hostedNetworkSSID.ucSSID, ssid, strlen(ssid));
    DWORD code = WlanHostedNetworkSetProperty(session, wlan_hosted_network_opcode_connection_settings,
                                              sizeof settings, &settings, &reason, NULL);
    if (code != ERROR_SUCCESS) return failed("WlanHostedNetworkSetProperty", code, reason);
    /* The length counts the zero. */
    code = WlanHostedNetworkSetSecondaryKey(session, (DWORD)strlen(passphrase) + 1, (PUCHAR)passphrase, TRUE, TRUE,
                                            &reason, NULL);
    if (code != ERROR_SUCCESS) return failed("WlanHostedNetworkSetSecondaryKey", code, reason);
    return 0;
}

static int run(HANDLE session) {
    WLAN_HOSTED_NETWORK_REASON reason = wlan_hosted_network_reason_success;
    DWORD code = WlanHostedNetworkStartUsing(session, &reason, NULL);
    if (code != ERROR_SUCCESS) return failed("WlanHostedNetworkStartUsing", code, reason);

    PWLAN_HOSTED_NETWORK_STATUS status = NULL;
    code = WlanHostedNetworkQueryStatus(session, &status, NULL);
    if (code != ERROR_SUCCESS) return failed("WlanHostedNetworkQueryStatus", code, reason);
    printf("running: %s, channel %u, %u devices\n", state_name(status->HostedNetworkState),
           (unsigned)status->ulChannelFrequency, (unsigned)status->dwNumberOfPeers);
    fflush(stdout);
    WlanFreeMemory(status);

    (void)getchar();
    code = WlanHostedNetworkStopUsing(session, &reason, NULL);
    if (code != ERROR_SUCCESS) return failed("WlanHostedNetworkStopUsing", code, reason);
    return 0;
}

int main(int argc, char **argv) {
    DWORD version = 0;
    HANDLE session = NULL;
    WLAN_HOSTED_NETWORK_REASON reason = wlan_hosted_network_reason_success;
    DWORD code = WlanOpenHandle(WLAN_API_VERSION, NULL, &version, &session);
    if (code != ERROR_SUCCESS) return failed("WlanOpenHandle", code, reason);
    int status = 1;
    code = WlanRegisterNotification(session, WLAN_NOTIFICATION_SOURCE_HNWK, TRUE, notified, NULL, NULL, NULL);
    if (code != ERROR_SUCCESS) {
        failed("WlanRegisterNotification", code, reason);
    } else if ((code = WlanHostedNetworkInitSettings(session, &reason, NULL)) != ERROR_SUCCESS) {
        failed("WlanHostedNetworkInitSettings", code, reason);
    } else if (argc < 3 || configure(session, argv[1], argv[2]) == 0) {
        status = run(session);
    }
    WlanCloseHandle(session, NULL);
    return status;
}
