/* The call order of a client program up to the network being up (sequences §7), one line for each call, and the way
 * back when a line (or the end) comes on standard input.
 *
 * Build: cc -Wall -Wextra -Werror -o sequence sequence.c -lwlanapi
 * Usage: sequence SSID PASSPHRASE
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wlanapi.h>

static void check(const char *call, DWORD code) {
    printf("%s: %u\n", call, (unsigned)code);
    fflush(stdout);
    if (code != ERROR_SUCCESS) exit(1);
}

/* Runs on a thread of the library. */
static void WINAPI notified(PWLAN_NOTIFICATION_DATA data, PVOID context) {
    (void)context;
    if (data->NotificationCode == wlan_hosted_network_state_change) {
        const WLAN_HOSTED_NETWORK_STATE_CHANGE *change = data->pData;
        printf("event: state %d -> %d\n", (int)change->OldState, (int)change->NewState);
    } else if (data->NotificationCode == wlan_hosted_network_peer_state_change) {
        const WLAN_HOSTED_NETWORK_DATA_PEER_STATE_CHANGE *change = data->pData;
        printf("event: peer %d -> %d\n", (int)change->OldState.PeerAuthState, (int)change->NewState.PeerAuthState);
    }
    fflush(stdout);
}

static void interfaces(HANDLE session) {
    PWLAN_INTERFACE_INFO_LIST list = NULL;
    check("WlanEnumInterfaces", WlanEnumInterfaces(session, NULL, &list));
    for (DWORD index = 0; index < list->dwNumberOfItems; index++) {
        printf("interface: ");
        for (const WCHAR *c = list->InterfaceInfo[index].strInterfaceDescription; *c != 0; c++) putchar((int)*c);
        putchar('\n');
    }
    WlanFreeMemory(list);
}

static void property(HANDLE session, const char *call, WLAN_HOSTED_NETWORK_OPCODE opcode) {
    DWORD size = 0;
    PVOID data = NULL;
    WLAN_OPCODE_VALUE_TYPE type = wlan_opcode_value_type_invalid;
    check(call, WlanHostedNetworkQueryProperty(session, opcode, &size, &data, &type, NULL));
    if (opcode == wlan_hosted_network_opcode_enable) printf("allowed: %d\n", *(const BOOL *)data != FALSE);
    WlanFreeMemory(data);
}

static WLAN_HOSTED_NETWORK_STATE state(HANDLE session) {
    PWLAN_HOSTED_NETWORK_STATUS status = NULL;
    check("WlanHostedNetworkQueryStatus", WlanHostedNetworkQueryStatus(session, &status, NULL));
    WLAN_HOSTED_NETWORK_STATE found = status->HostedNetworkState;
    printf("status: state %d, peers %u\n", (int)found, (unsigned)status->dwNumberOfPeers);
    fflush(stdout);
    WlanFreeMemory(status);
    return found;
}

int main(int argc, char **argv) {
    DWORD version = 0;
    HANDLE session = NULL;
    WLAN_HOSTED_NETWORK_REASON reason = wlan_hosted_network_reason_success;
    WLAN_HOSTED_NETWORK_CONNECTION_SETTINGS settings = {{0, {0}}, 100};
    if (argc != 3 || strlen(argv[1]) > sizeof settings.hostedNetworkSSID.ucSSID) return 2;
    settings.hostedNetworkSSID.uSSIDLength = (ULONG)strlen(argv[1]);
    memcpy(settings.hostedNetworkSSID.ucSSID, argv[1], strlen(argv[1]));

    check("WlanOpenHandle", WlanOpenHandle(2, NULL, &version, &session));
    check("WlanRegisterNotification",
          WlanRegisterNotification(session, WLAN_NOTIFICATION_SOURCE_HNWK, TRUE, notified, NULL, NULL, NULL));
    check("WlanHostedNetworkInitSettings", WlanHostedNetworkInitSettings(session, &reason, NULL));
    property(session, "WlanHostedNetworkQueryProperty(3)", wlan_hosted_network_opcode_enable);
    property(session, "WlanHostedNetworkQueryProperty(0)", wlan_hosted_network_opcode_connection_settings);
    property(session, "WlanHostedNetworkQueryProperty(1)", wlan_hosted_network_opcode_security_settings);
    WLAN_HOSTED_NETWORK_STATE before = state(session);
    check("WlanHostedNetworkSetProperty(0)",
          WlanHostedNetworkSetProperty(session, wlan_hosted_network_opcode_connection_settings, sizeof settings, &settings,
                                       &reason, NULL));
    check("WlanHostedNetworkSetSecondaryKey",
          WlanHostedNetworkSetSecondaryKey(session, (DWORD)strlen(argv[2]) + 1, (PUCHAR)argv[2], TRUE, TRUE, &reason,
                                           NULL));
    if (before == wlan_hosted_network_active) {
        check("WlanHostedNetworkForceStop", WlanHostedNetworkForceStop(session, &reason, NULL));
    }
    check("WlanHostedNetworkStartUsing", WlanHostedNetworkStartUsing(session, &reason, NULL));
    state(session);
    interfaces(session);
    printf("up\n");
    fflush(stdout);
    (void)getchar();
    check("WlanHostedNetworkStopUsing", WlanHostedNetworkStopUsing(session, &reason, NULL));
    check("WlanCloseHandle", WlanCloseHandle(session, NULL));
    return 0;
}
