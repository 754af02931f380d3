/* The call order of a typical program (spec/sequences.md section 7), both libraries in one process, in C.
 * Argument: the name of the public connection. Prints "shared" while both run and waits for a line. */
#define COBJMACROS
#include <wlanapi.h>
#include <netcon.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static atomic_int notifications;

static void WINAPI notified(PWLAN_NOTIFICATION_DATA data, PVOID context) {
    (void)context;
    if (data->NotificationSource == WLAN_NOTIFICATION_SOURCE_HNWK) notifications++;
}

#define WANT(call) \
    do { \
        long long answer = (call); \
        if (answer != 0) { \
            fprintf(stderr, "line %d: %s: 0x%llx\n", __LINE__, #call, answer & 0xffffffff); \
            return 1; \
        } \
    } while (0)

static int is(LPCWSTR wide, const char *name) {
    while (*wide && *wide == (unsigned char)*name) wide++, name++;
    return *wide == 0 && *name == 0;
}

static int share(INetSharingManager *manager, const char *name, const GUID *adapter) {
    INetSharingEveryConnectionCollection *all = NULL;
    INetSharingConfiguration *pub = NULL, *priv = NULL;
    IEnumNetSharingEveryConnection *each = NULL;
    IUnknown *unknown = NULL;
    VARIANT value;
    ULONG fetched = 0;
    LONG count = 0, number = 0;
    HRESULT code;

    WANT(INetSharingManager_get_EnumEveryConnection(manager, &all));
    WANT(INetSharingEveryConnectionCollection_get_Count(all, &count));
    WANT(INetSharingEveryConnectionCollection_get__NewEnum(all, &unknown));
    WANT(IUnknown_QueryInterface(unknown, &IID_IEnumNetSharingEveryConnection, (void **)&each));
    IUnknown_Release(unknown);
    VariantInit(&value);
    while ((code = IEnumNetSharingEveryConnection_Next(each, 1, &value, &fetched)) == S_OK) {
        INetConnection *connection = NULL;
        INetSharingConfiguration *configuration = NULL;
        INetConnectionProps *props = NULL;
        NETCON_PROPERTIES *properties = NULL;
        NETCON_MEDIATYPE media = NCM_NONE;
        VARIANT_BOOL enabled = VARIANT_FALSE;
        int hosted;
        number++;
        if (fetched != 1 || V_VT(&value) != VT_UNKNOWN) return 1;
        WANT(IUnknown_QueryInterface(V_UNKNOWN(&value), &IID_INetConnection, (void **)&connection));
        WANT(VariantClear(&value));
        WANT(INetConnection_GetProperties(connection, &properties));
        WANT(INetSharingManager_get_NetConnectionProps(manager, connection, &props));
        WANT(INetConnectionProps_get_MediaType(props, &media));
        INetConnectionProps_Release(props);
        WANT(media != properties->MediaType);
        hosted = memcmp(&properties->guidId, adapter, sizeof *adapter) == 0;
        WANT(hosted != ((properties->dwCharacter & NCCF_HOSTED_NETWORK) != 0));
        if (!(properties->dwCharacter & NCCF_INCOMING_ONLY) && media == NCM_LAN) {
            WANT(INetSharingManager_get_INetSharingConfigurationForINetConnection(manager, connection, &configuration));
            WANT(INetSharingConfiguration_get_SharingEnabled(configuration, &enabled));
            if (enabled) WANT(INetSharingConfiguration_DisableSharing(configuration));
            if (hosted || is(properties->pszwName, name)) {
                INetSharingConfiguration_AddRef(configuration);
                *(hosted ? &priv : &pub) = configuration;
            }
            INetSharingConfiguration_Release(configuration);
        }
        NcFreeNetconProperties(properties);
        INetConnection_Release(connection);
    }
    WANT(code != S_FALSE || fetched != 0 || number != count);
    IEnumNetSharingEveryConnection_Release(each);
    INetSharingEveryConnectionCollection_Release(all);
    if (!pub || !priv) return 1;
    WANT(INetSharingConfiguration_EnableSharing(pub, ICSSHARINGTYPE_PUBLIC));
    WANT(INetSharingConfiguration_EnableSharing(priv, ICSSHARINGTYPE_PRIVATE));
    printf("shared\n");
    fflush(stdout);
    (void)getchar();
    WANT(INetSharingConfiguration_DisableSharing(priv));
    WANT(INetSharingConfiguration_DisableSharing(pub));
    INetSharingConfiguration_Release(priv);
    INetSharingConfiguration_Release(pub);
    return 0;
}

int main(int argc, char **argv) {
    static UCHAR key[] = "a key of a C program";
    WLAN_HOSTED_NETWORK_REASON reason = wlan_hosted_network_reason_success;
    WLAN_HOSTED_NETWORK_CONNECTION_SETTINGS settings;
    WLAN_OPCODE_VALUE_TYPE kind;
    PWLAN_HOSTED_NETWORK_STATUS status = NULL;
    INetSharingManager *manager = NULL;
    HANDLE session = NULL;
    VARIANT_BOOL installed = VARIANT_FALSE;
    DWORD version = 0, size = 0;
    PVOID data = NULL;
    CLSID class_of_name;
    GUID adapter;
    int outcome;

    if (argc < 2) return 2;
    WANT(WlanOpenHandle(2, NULL, &version, &session));
    WANT(WlanRegisterNotification(session, WLAN_NOTIFICATION_SOURCE_HNWK, TRUE, notified, NULL, NULL, NULL));
    WANT(WlanHostedNetworkInitSettings(session, &reason, NULL));
    WANT(WlanHostedNetworkQueryProperty(session, wlan_hosted_network_opcode_enable, &size, &data, &kind, NULL));
    WANT(size != sizeof(BOOL) || !*(BOOL *)data);
    WlanFreeMemory(data);
    WANT(WlanHostedNetworkQueryProperty(session, wlan_hosted_network_opcode_connection_settings, &size, &data, &kind, NULL));
    WANT(size != sizeof settings);
    memcpy(&settings, data, sizeof settings);
    WlanFreeMemory(data);
    WANT(WlanHostedNetworkQueryProperty(session, wlan_hosted_network_opcode_security_settings, &size, &data, &kind, NULL));
    WlanFreeMemory(data);
    WANT(WlanHostedNetworkQueryStatus(session, &status, NULL));
    WANT(status->HostedNetworkState != wlan_hosted_network_idle);
    WlanFreeMemory(status);
    WANT(WlanHostedNetworkSetProperty(session, wlan_hosted_network_opcode_connection_settings, sizeof settings, &settings,
                                      &reason, NULL));
    WANT(WlanHostedNetworkSetSecondaryKey(session, sizeof key, key, TRUE, TRUE, &reason, NULL));
    WANT(WlanHostedNetworkForceStop(session, &reason, NULL));
    WANT(WlanHostedNetworkStartUsing(session, &reason, NULL));
    WANT(WlanHostedNetworkQueryStatus(session, &status, NULL));
    WANT(status->HostedNetworkState != wlan_hosted_network_active);
    adapter = status->IPDeviceID;
    WlanFreeMemory(status);

    WANT(CoInitialize(NULL));
    WANT(CoInitializeSecurity(NULL, -1, NULL, NULL, RPC_C_AUTHN_LEVEL_PKT, RPC_C_IMP_LEVEL_IMPERSONATE, NULL, EOAC_NONE, NULL));
    WANT(CLSIDFromProgID(u"HNetCfg.HNetShare", &class_of_name));
    WANT(memcmp(&class_of_name, &CLSID_NetSharingManager, sizeof class_of_name));
    WANT(CoCreateInstance(&CLSID_NetSharingManager, NULL, CLSCTX_ALL, &IID_INetSharingManager, (void **)&manager));
    WANT(INetSharingManager_get_SharingInstalled(manager, &installed));
    WANT(installed != VARIANT_TRUE);
    outcome = share(manager, argv[1], &adapter);
    WANT(INetSharingManager_Release(manager));
    if (outcome != 0) return outcome;
    WANT(DllCanUnloadNow());
    CoUninitialize();
    WANT(WlanHostedNetworkStopUsing(session, &reason, NULL));
    WANT(WlanCloseHandle(session, NULL));
    printf("done after %d notifications\n", (int)notifications);
    return notifications == 0;
}
