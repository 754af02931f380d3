/* wlanapi.h - the hosted network for C and C++ programs: libwlanapi.so
 *
 * Signatures, layouts, numbers and return codes are those of the Windows interface of the same name. Characters
 * of strings (WCHAR) are UTF-16 units, two bytes each, whatever wchar_t is: u"text"; in C++ they are char16_t.
 *
 * A handle is one session with the service (socket $HOSTEDNET_SOCKET, else /run/hostednet/bus). Calls may come
 * from any thread. Callbacks come on a thread of the library, one at a time for each handle; inside one, everything
 * but ending its own registration or handle may be called. Buffers handed out are freed with WlanFreeMemory.
 */
#ifndef HOSTEDNET_WLANAPI_H
#define HOSTEDNET_WLANAPI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef WINAPI
#define WINAPI
#endif

typedef uint32_t DWORD, ULONG, *PDWORD;
typedef int32_t BOOL, *PBOOL;
typedef uint8_t UCHAR, *PUCHAR;
#ifdef __cplusplus
typedef char16_t WCHAR, *PWCHAR, *LPWSTR;
#else
typedef uint16_t WCHAR, *PWCHAR, *LPWSTR;
#endif
typedef const WCHAR *LPCWSTR;
typedef void *PVOID, *HANDLE, **PHANDLE;
#ifndef VOID
#define VOID void
#endif
#ifndef TRUE
#define TRUE 1
#define FALSE 0
#endif

#ifndef GUID_DEFINED
#define GUID_DEFINED
typedef struct _GUID {
    uint32_t Data1;
    uint16_t Data2;
    uint16_t Data3;
    uint8_t Data4[8];
} GUID;
#endif

/* Return codes. */
#ifndef ERROR_SUCCESS
#define ERROR_SUCCESS 0
#define ERROR_ACCESS_DENIED 5
#define ERROR_INVALID_HANDLE 6
#define ERROR_NOT_ENOUGH_MEMORY 8
#define ERROR_OUTOFMEMORY 14
#define ERROR_GEN_FAILURE 31
#define ERROR_NOT_SUPPORTED 50
#define ERROR_INVALID_PARAMETER 87
#define ERROR_SERVICE_NOT_ACTIVE 1062
#define ERROR_SERVICE_DEPENDENCY_FAIL 1068
#define ERROR_NOT_FOUND 1168
#define ERROR_BAD_PROFILE 1206
#define ERROR_REMOTE_SESSION_LIMIT_EXCEEDED 1220
#define ERROR_ACCESS_DISABLED_BY_POLICY 1260
#define ERROR_TIMEOUT 1460
#define ERROR_BAD_CONFIGURATION 1610
#define ERROR_INVALID_STATE 5023
#endif

#define WLAN_API_VERSION_1_0 1
#define WLAN_API_VERSION_2_0 2
#define WLAN_API_VERSION WLAN_API_VERSION_2_0

#define WLAN_NOTIFICATION_SOURCE_NONE 0x0
#define WLAN_NOTIFICATION_SOURCE_ONEX 0x4
#define WLAN_NOTIFICATION_SOURCE_ACM 0x8
#define WLAN_NOTIFICATION_SOURCE_MSM 0x10
#define WLAN_NOTIFICATION_SOURCE_SECURITY 0x20
#define WLAN_NOTIFICATION_SOURCE_IHV 0x40
#define WLAN_NOTIFICATION_SOURCE_HNWK 0x80
#define WLAN_NOTIFICATION_SOURCE_DEVICE_SERVICE 0x800
#define WLAN_NOTIFICATION_SOURCE_ALL 0xffff

#define WLAN_READ_ACCESS 0x00020001
#define WLAN_EXECUTE_ACCESS 0x00020021
#define WLAN_WRITE_ACCESS 0x00070023

#define WLAN_MAX_NAME_LENGTH 256
#define DOT11_SSID_MAX_LENGTH 32

typedef uint8_t DOT11_MAC_ADDRESS[6];
typedef DWORD WLAN_REASON_CODE;

#define WLAN_REASON_CODE_SUCCESS 0
#define WLAN_REASON_CODE_UNKNOWN 65537
#define WLAN_REASON_CODE_AP_PROFILE_NOT_ALLOWED_FOR_CLIENT 163855
#define WLAN_REASON_CODE_AP_PROFILE_NOT_ALLOWED 163856
#define WLAN_REASON_CODE_AP_STARTING_FAILURE 229395
#define WLAN_REASON_CODE_BAD_MAX_NUMBER_OF_CLIENTS_FOR_AP 524310
#define WLAN_REASON_CODE_AUTO_AP_PROFILE_NOT_ALLOWED 524313

typedef enum _WLAN_HOSTED_NETWORK_STATE {
    wlan_hosted_network_unavailable = 0,
    wlan_hosted_network_idle = 1,
    wlan_hosted_network_active = 2
} WLAN_HOSTED_NETWORK_STATE, *PWLAN_HOSTED_NETWORK_STATE;

typedef enum _WLAN_HOSTED_NETWORK_REASON {
    wlan_hosted_network_reason_success = 0,
    wlan_hosted_network_reason_unspecified = 1,
    wlan_hosted_network_reason_bad_parameters = 2,
    wlan_hosted_network_reason_service_shutting_down = 3,
    wlan_hosted_network_reason_insufficient_resources = 4,
    wlan_hosted_network_reason_elevation_required = 5,
    wlan_hosted_network_reason_read_only = 6,
    wlan_hosted_network_reason_persistence_failed = 7,
    wlan_hosted_network_reason_crypt_error = 8,
    wlan_hosted_network_reason_impersonation = 9,
    wlan_hosted_network_reason_stop_before_start = 10,
    wlan_hosted_network_reason_interface_available = 11,
    wlan_hosted_network_reason_interface_unavailable = 12,
    wlan_hosted_network_reason_miniport_stopped = 13,
    wlan_hosted_network_reason_miniport_started = 14,
    wlan_hosted_network_reason_incompatible_connection_started = 15,
    wlan_hosted_network_reason_incompatible_connection_stopped = 16,
    wlan_hosted_network_reason_user_action = 17,
    wlan_hosted_network_reason_client_abort = 18,
    wlan_hosted_network_reason_ap_start_failed = 19,
    wlan_hosted_network_reason_peer_arrived = 20,
    wlan_hosted_network_reason_peer_departed = 21,
    wlan_hosted_network_reason_peer_timeout = 22,
    wlan_hosted_network_reason_gp_denied = 23,
    wlan_hosted_network_reason_service_unavailable = 24,
    wlan_hosted_network_reason_device_change = 25,
    wlan_hosted_network_reason_properties_change = 26,
    wlan_hosted_network_reason_virtual_station_blocking_use = 27,
    wlan_hosted_network_reason_service_available_on_virtual_station = 28
} WLAN_HOSTED_NETWORK_REASON, *PWLAN_HOSTED_NETWORK_REASON;

typedef enum _WLAN_HOSTED_NETWORK_OPCODE {
    wlan_hosted_network_opcode_connection_settings = 0,
    wlan_hosted_network_opcode_security_settings = 1,
    wlan_hosted_network_opcode_station_profile = 2,
    wlan_hosted_network_opcode_enable = 3
} WLAN_HOSTED_NETWORK_OPCODE, *PWLAN_HOSTED_NETWORK_OPCODE;

typedef enum _WLAN_HOSTED_NETWORK_PEER_AUTH_STATE {
    wlan_hosted_network_peer_state_invalid = 0,
    wlan_hosted_network_peer_state_authenticated = 1
} WLAN_HOSTED_NETWORK_PEER_AUTH_STATE, *PWLAN_HOSTED_NETWORK_PEER_AUTH_STATE;

typedef enum _WLAN_HOSTED_NETWORK_NOTIFICATION_CODE {
    wlan_hosted_network_state_change = 0x1000,
    wlan_hosted_network_peer_state_change = 0x1001,
    wlan_hosted_network_radio_state_change = 0x1002
} WLAN_HOSTED_NETWORK_NOTIFICATION_CODE, *PWLAN_HOSTED_NETWORK_NOTIFICATION_CODE;

typedef enum _WLAN_OPCODE_VALUE_TYPE {
    wlan_opcode_value_type_query_only = 0,
    wlan_opcode_value_type_set_by_group_policy = 1,
    wlan_opcode_value_type_set_by_user = 2,
    wlan_opcode_value_type_invalid = 3
} WLAN_OPCODE_VALUE_TYPE, *PWLAN_OPCODE_VALUE_TYPE;

typedef enum _WLAN_INTF_OPCODE {
    wlan_intf_opcode_interface_state = 6,
    wlan_intf_opcode_hosted_network_capable = 15
} WLAN_INTF_OPCODE, *PWLAN_INTF_OPCODE;

typedef enum _WLAN_INTERFACE_STATE {
    wlan_interface_state_not_ready = 0,
    wlan_interface_state_connected = 1,
    wlan_interface_state_disconnected = 4
} WLAN_INTERFACE_STATE, *PWLAN_INTERFACE_STATE;

typedef enum _WLAN_SECURABLE_OBJECT {
    wlan_secure_permit_list = 0,
    wlan_secure_deny_list = 1,
    wlan_secure_ac_enabled = 2,
    wlan_secure_bc_scan_enabled = 3,
    wlan_secure_bss_type = 4,
    wlan_secure_show_denied = 5,
    wlan_secure_interface_properties = 6,
    wlan_secure_ihv_control = 7,
    wlan_secure_all_user_profiles_order = 8,
    wlan_secure_add_new_all_user_profiles = 9,
    wlan_secure_add_new_per_user_profiles = 10,
    wlan_secure_media_streaming_mode_enabled = 11,
    wlan_secure_current_operation_mode = 12,
    wlan_secure_get_plaintext_key = 13,
    wlan_secure_hosted_network_elevated_access = 14,
    wlan_secure_virtual_station_extensibility = 15,
    wlan_secure_wfd_elevated_access = 16,
    WLAN_SECURABLE_OBJECT_COUNT = 17
} WLAN_SECURABLE_OBJECT, *PWLAN_SECURABLE_OBJECT;

typedef enum _DOT11_RADIO_STATE {
    dot11_radio_state_unknown = 0,
    dot11_radio_state_on = 1,
    dot11_radio_state_off = 2
} DOT11_RADIO_STATE, *PDOT11_RADIO_STATE;

typedef enum _DOT11_PHY_TYPE {
    dot11_phy_type_unknown = 0,
    dot11_phy_type_any = 0,
    dot11_phy_type_fhss = 1,
    dot11_phy_type_dsss = 2,
    dot11_phy_type_irbaseband = 3,
    dot11_phy_type_ofdm = 4,
    dot11_phy_type_hrdsss = 5,
    dot11_phy_type_erp = 6,
    dot11_phy_type_ht = 7,
    dot11_phy_type_vht = 8,
    dot11_phy_type_dmg = 9,
    dot11_phy_type_he = 10,
    dot11_phy_type_eht = 11
} DOT11_PHY_TYPE, *PDOT11_PHY_TYPE;

typedef enum _DOT11_AUTH_ALGORITHM { DOT11_AUTH_ALGO_RSNA_PSK = 7 } DOT11_AUTH_ALGORITHM;
typedef enum _DOT11_CIPHER_ALGORITHM { DOT11_CIPHER_ALGO_CCMP = 4 } DOT11_CIPHER_ALGORITHM;

typedef struct _DOT11_SSID {
    ULONG uSSIDLength;
    UCHAR ucSSID[DOT11_SSID_MAX_LENGTH];
} DOT11_SSID, *PDOT11_SSID;

typedef struct _WLAN_HOSTED_NETWORK_CONNECTION_SETTINGS {
    DOT11_SSID hostedNetworkSSID;
    DWORD dwMaxNumberOfPeers;
} WLAN_HOSTED_NETWORK_CONNECTION_SETTINGS, *PWLAN_HOSTED_NETWORK_CONNECTION_SETTINGS;

typedef struct _WLAN_HOSTED_NETWORK_SECURITY_SETTINGS {
    DOT11_AUTH_ALGORITHM dot11AuthAlgo;
    DOT11_CIPHER_ALGORITHM dot11CipherAlgo;
} WLAN_HOSTED_NETWORK_SECURITY_SETTINGS, *PWLAN_HOSTED_NETWORK_SECURITY_SETTINGS;

typedef struct _WLAN_HOSTED_NETWORK_PEER_STATE {
    DOT11_MAC_ADDRESS PeerMacAddress;
    WLAN_HOSTED_NETWORK_PEER_AUTH_STATE PeerAuthState;
} WLAN_HOSTED_NETWORK_PEER_STATE, *PWLAN_HOSTED_NETWORK_PEER_STATE;

typedef struct _WLAN_HOSTED_NETWORK_RADIO_STATE {
    DOT11_RADIO_STATE dot11SoftwareRadioState;
    DOT11_RADIO_STATE dot11HardwareRadioState;
} WLAN_HOSTED_NETWORK_RADIO_STATE, *PWLAN_HOSTED_NETWORK_RADIO_STATE;

typedef struct _WLAN_HOSTED_NETWORK_STATE_CHANGE {
    WLAN_HOSTED_NETWORK_STATE OldState;
    WLAN_HOSTED_NETWORK_STATE NewState;
    WLAN_HOSTED_NETWORK_REASON StateChangeReason;
} WLAN_HOSTED_NETWORK_STATE_CHANGE, *PWLAN_HOSTED_NETWORK_STATE_CHANGE;

typedef struct _WLAN_HOSTED_NETWORK_DATA_PEER_STATE_CHANGE {
    WLAN_HOSTED_NETWORK_PEER_STATE OldState;
    WLAN_HOSTED_NETWORK_PEER_STATE NewState;
    WLAN_HOSTED_NETWORK_REASON PeerStateChangeReason;
} WLAN_HOSTED_NETWORK_DATA_PEER_STATE_CHANGE, *PWLAN_HOSTED_NETWORK_DATA_PEER_STATE_CHANGE;

/* ulChannelFrequency is the channel number. dwNumberOfPeers entries follow in the same buffer. */
typedef struct _WLAN_HOSTED_NETWORK_STATUS {
    WLAN_HOSTED_NETWORK_STATE HostedNetworkState;
    GUID IPDeviceID;
    DOT11_MAC_ADDRESS wlanHostedNetworkBSSID;
    DOT11_PHY_TYPE dot11PhyType;
    ULONG ulChannelFrequency;
    DWORD dwNumberOfPeers;
    WLAN_HOSTED_NETWORK_PEER_STATE PeerList[1];
} WLAN_HOSTED_NETWORK_STATUS, *PWLAN_HOSTED_NETWORK_STATUS;

typedef struct _WLAN_INTERFACE_INFO {
    GUID InterfaceGuid;
    WCHAR strInterfaceDescription[WLAN_MAX_NAME_LENGTH];
    WLAN_INTERFACE_STATE isState;
} WLAN_INTERFACE_INFO, *PWLAN_INTERFACE_INFO;

typedef struct _WLAN_INTERFACE_INFO_LIST {
    DWORD dwNumberOfItems;
    DWORD dwIndex;
    WLAN_INTERFACE_INFO InterfaceInfo[1];
} WLAN_INTERFACE_INFO_LIST, *PWLAN_INTERFACE_INFO_LIST;

typedef struct _L2_NOTIFICATION_DATA {
    DWORD NotificationSource;
    DWORD NotificationCode;
    GUID InterfaceGuid;
    DWORD dwDataSize;
    PVOID pData;
} L2_NOTIFICATION_DATA, *PL2_NOTIFICATION_DATA, WLAN_NOTIFICATION_DATA, *PWLAN_NOTIFICATION_DATA;

typedef VOID(WINAPI *WLAN_NOTIFICATION_CALLBACK)(PWLAN_NOTIFICATION_DATA, PVOID);

DWORD WINAPI WlanOpenHandle(DWORD dwClientVersion, PVOID pReserved, PDWORD pdwNegotiatedVersion,
                            PHANDLE phClientHandle);
DWORD WINAPI WlanCloseHandle(HANDLE hClientHandle, PVOID pReserved);
DWORD WINAPI WlanEnumInterfaces(HANDLE hClientHandle, PVOID pReserved, PWLAN_INTERFACE_INFO_LIST *ppInterfaceList);
DWORD WINAPI WlanQueryInterface(HANDLE hClientHandle, const GUID *pInterfaceGuid, WLAN_INTF_OPCODE OpCode,
                                PVOID pReserved, PDWORD pdwDataSize, PVOID *ppData,
                                PWLAN_OPCODE_VALUE_TYPE pWlanOpcodeValueType);
DWORD WINAPI WlanRegisterNotification(HANDLE hClientHandle, DWORD dwNotifSource, BOOL bIgnoreDuplicate,
                                      WLAN_NOTIFICATION_CALLBACK funcCallback, PVOID pCallbackContext,
                                      PVOID pReserved, PDWORD pdwPrevNotifSource);
DWORD WINAPI WlanRegisterVirtualStationNotification(HANDLE hClientHandle, BOOL bRegister, PVOID pReserved);
DWORD WINAPI WlanGetSecuritySettings(HANDLE hClientHandle, WLAN_SECURABLE_OBJECT SecurableObject,
                                     PWLAN_OPCODE_VALUE_TYPE pValueType, LPWSTR *pstrCurrentSDDL,
                                     PDWORD pdwGrantedAccess);
DWORD WINAPI WlanSetSecuritySettings(HANDLE hClientHandle, WLAN_SECURABLE_OBJECT SecurableObject,
                                     LPCWSTR strModifiedSDDL);
PVOID WINAPI WlanAllocateMemory(DWORD dwMemorySize);
VOID WINAPI WlanFreeMemory(PVOID pMemory);
DWORD WINAPI WlanReasonCodeToString(DWORD dwReasonCode, DWORD dwBufferSize, PWCHAR pStringBuffer, PVOID pReserved);

DWORD WINAPI WlanHostedNetworkInitSettings(HANDLE hClientHandle, PWLAN_HOSTED_NETWORK_REASON pFailReason,
                                           PVOID pvReserved);
DWORD WINAPI WlanHostedNetworkStartUsing(HANDLE hClientHandle, PWLAN_HOSTED_NETWORK_REASON pFailReason,
                                         PVOID pvReserved);
DWORD WINAPI WlanHostedNetworkStopUsing(HANDLE hClientHandle, PWLAN_HOSTED_NETWORK_REASON pFailReason,
                                        PVOID pvReserved);
DWORD WINAPI WlanHostedNetworkForceStart(HANDLE hClientHandle, PWLAN_HOSTED_NETWORK_REASON pFailReason,
                                         PVOID pvReserved);
DWORD WINAPI WlanHostedNetworkForceStop(HANDLE hClientHandle, PWLAN_HOSTED_NETWORK_REASON pFailReason,
                                        PVOID pvReserved);
DWORD WINAPI WlanHostedNetworkRefreshSecuritySettings(HANDLE hClientHandle,
                                                      PWLAN_HOSTED_NETWORK_REASON pFailReason, PVOID pvReserved);
DWORD WINAPI WlanHostedNetworkQueryStatus(HANDLE hClientHandle, PWLAN_HOSTED_NETWORK_STATUS *ppWlanHostedNetworkStatus,
                                          PVOID pvReserved);
DWORD WINAPI WlanHostedNetworkQueryProperty(HANDLE hClientHandle, WLAN_HOSTED_NETWORK_OPCODE OpCode,
                                            PDWORD pdwDataSize, PVOID *ppvData,
                                            PWLAN_OPCODE_VALUE_TYPE pWlanOpcodeValueType, PVOID pvReserved);
DWORD WINAPI WlanHostedNetworkSetProperty(HANDLE hClientHandle, WLAN_HOSTED_NETWORK_OPCODE OpCode, DWORD dwDataSize,
                                          PVOID pvData, PWLAN_HOSTED_NETWORK_REASON pFailReason, PVOID pvReserved);
DWORD WINAPI WlanHostedNetworkSetSecondaryKey(HANDLE hClientHandle, DWORD dwKeyLength, PUCHAR pucKeyData,
                                              BOOL bIsPassPhrase, BOOL bPersistent,
                                              PWLAN_HOSTED_NETWORK_REASON pFailReason, PVOID pvReserved);
DWORD WINAPI WlanHostedNetworkQuerySecondaryKey(HANDLE hClientHandle, PDWORD pdwKeyLength, PUCHAR *ppucKeyData,
                                                PBOOL pbIsPassPhrase, PBOOL pbPersistent,
                                                PWLAN_HOSTED_NETWORK_REASON pFailReason, PVOID pvReserved);

/* FormatMessage is no part of wlanapi. These say in words what a return code or a fail reason of these functions means;
 * NULL: they never return it. */
static inline const char *hostednet_error_text(DWORD code) {
    switch (code) {
    case 0: return "The operation was successful.";
    case 5: return "The right to do this is missing, or a policy of the administrator decides it.";
    case 6: return "The handle is not open.";
    case 8: return "There is not enough memory.";
    case 14: return "There is not enough memory for the answer.";
    case 31: return "The system or the driver failed.";
    case 50: return "This is not supported.";
    case 87: return "An argument is wrong.";
    case 765: return "Another connection has the address that sharing needs.";
    case 1058: return "This part of the service is disabled.";
    case 1062: return "The service is not running.";
    case 1068: return "Something the service depends on is not running.";
    case 1168: return "The named object does not exist.";
    case 1206: return "The stored profile of the network is damaged.";
    case 1220: return "There are too many sessions or commands.";
    case 1260: return "The system denies the service what a step needs.";
    case 1460: return "A step did not end in time.";
    case 1610: return "The hosted network is not configured yet.";
    case 1816: return "A limit of the service is reached.";
    case 5023: return "This is not possible in the present state.";
    default: return NULL;
    }
}

static inline const char *hostednet_reason_text(WLAN_HOSTED_NETWORK_REASON reason) {
    switch (reason) {
    case wlan_hosted_network_reason_success: return "no failure";
    case wlan_hosted_network_reason_unspecified: return "unknown cause";
    case wlan_hosted_network_reason_bad_parameters: return "a bad argument";
    case wlan_hosted_network_reason_service_shutting_down: return "the service is ending";
    case wlan_hosted_network_reason_insufficient_resources: return "out of resources";
    case wlan_hosted_network_reason_elevation_required: return "administrator rights are needed";
    case wlan_hosted_network_reason_read_only: return "this can only be read";
    case wlan_hosted_network_reason_persistence_failed: return "saving failed";
    case wlan_hosted_network_reason_crypt_error: return "encryption or decryption failed";
    case wlan_hosted_network_reason_impersonation: return "the service could not act as the caller";
    case wlan_hosted_network_reason_stop_before_start: return "a stop without a start before it";
    case wlan_hosted_network_reason_interface_available: return "the adapter became usable";
    case wlan_hosted_network_reason_interface_unavailable: return "no adapter is usable";
    case wlan_hosted_network_reason_miniport_stopped: return "the virtual adapter stopped";
    case wlan_hosted_network_reason_miniport_started: return "the virtual adapter started";
    case wlan_hosted_network_reason_incompatible_connection_started: return "a connection that excludes it began";
    case wlan_hosted_network_reason_incompatible_connection_stopped: return "a connection that excluded it ended";
    case wlan_hosted_network_reason_user_action: return "somebody asked for it";
    case wlan_hosted_network_reason_client_abort: return "the program that held it went away";
    case wlan_hosted_network_reason_ap_start_failed: return "the access point could not be started";
    case wlan_hosted_network_reason_peer_arrived: return "the device joined";
    case wlan_hosted_network_reason_peer_departed: return "the device left";
    case wlan_hosted_network_reason_peer_timeout: return "the device was silent for too long";
    case wlan_hosted_network_reason_gp_denied: return "a policy of the administrator forbids it";
    case wlan_hosted_network_reason_service_unavailable: return "the service cannot be reached";
    case wlan_hosted_network_reason_device_change: return "the adapter was changed";
    case wlan_hosted_network_reason_properties_change: return "the settings were changed";
    case wlan_hosted_network_reason_virtual_station_blocking_use: return "a virtual station is in the way";
    case wlan_hosted_network_reason_service_available_on_virtual_station:
        return "the virtual station is out of the way";
    }
    return NULL;
}

#ifdef __cplusplus
}
#endif

#endif
