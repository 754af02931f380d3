/* Many threads on shared handles, with a callback that takes a lock its callers hold: for sanitizers and valgrind.
 *
 * Usage: threads ROUNDS. The callback keeps a list of its own and checks it, as programs written for Windows do.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wlanapi.h>

#define THREADS 4

#define CHECK(holds)                                                                                                   \
    do {                                                                                                               \
        if (!(holds)) {                                                                                                \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #holds);                                  \
            _exit(2);                                                                                                  \
        }                                                                                                              \
    } while (0)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static WLAN_HOSTED_NETWORK_STATE last = wlan_hosted_network_idle;
static atomic_uint changes, closed_inside;
static HANDLE session;
static int rounds;
static const struct timespec moment = {0, 1000000};

static void WINAPI notified(PWLAN_NOTIFICATION_DATA data, PVOID context) {
    CHECK(context == &changes);
    CHECK(data->NotificationSource == WLAN_NOTIFICATION_SOURCE_HNWK);
    pthread_mutex_lock(&lock);
    if (data->NotificationCode == wlan_hosted_network_state_change) {
        const WLAN_HOSTED_NETWORK_STATE_CHANGE *change = (const WLAN_HOSTED_NETWORK_STATE_CHANGE *)data->pData;
        CHECK(data->dwDataSize == sizeof *change);
        CHECK(change->OldState == last && change->NewState != last);
        last = change->NewState;
        atomic_fetch_add(&changes, 1);
    }
    pthread_mutex_unlock(&lock);
}

static void WINAPI closes(PWLAN_NOTIFICATION_DATA data, PVOID context) {
    (void)data;
    CHECK(WlanCloseHandle(*(HANDLE *)context, NULL) == ERROR_SUCCESS);
    atomic_store(&closed_inside, 1);
}

/* Every function that hands out a buffer. */
static void ask_everything(HANDLE handle) {
    PWLAN_HOSTED_NETWORK_STATUS status = NULL;
    CHECK(WlanHostedNetworkQueryStatus(handle, &status, NULL) == ERROR_SUCCESS);
    WlanFreeMemory(status);
    for (int opcode = 0; opcode < 4; opcode++) {
        DWORD size = 0;
        PVOID value = NULL;
        WLAN_OPCODE_VALUE_TYPE type = wlan_opcode_value_type_invalid;
        CHECK(WlanHostedNetworkQueryProperty(handle, (WLAN_HOSTED_NETWORK_OPCODE)opcode, &size, &value, &type, NULL) ==
              ERROR_SUCCESS);
        /* Every byte of it is there, and ours to change. */
        memset(value, 0, size);
        WlanFreeMemory(value);
    }
    DWORD length = 0;
    PUCHAR key = NULL;
    BOOL passphrase = FALSE, persistent = FALSE;
    CHECK(WlanHostedNetworkQuerySecondaryKey(handle, &length, &key, &passphrase, &persistent, NULL, NULL) ==
          ERROR_SUCCESS);
    CHECK(length == 9 && memcmp(key, "password", 9) == 0);
    WlanFreeMemory(key);
    PWLAN_INTERFACE_INFO_LIST list = NULL;
    CHECK(WlanEnumInterfaces(handle, NULL, &list) == ERROR_SUCCESS);
    CHECK(list->dwNumberOfItems == 1);
    DWORD size = 0;
    PVOID capable = NULL;
    CHECK(WlanQueryInterface(handle, &list->InterfaceInfo[0].InterfaceGuid, wlan_intf_opcode_hosted_network_capable,
                             NULL, &size, &capable, NULL) == ERROR_SUCCESS);
    CHECK(size == sizeof(BOOL) && *(BOOL *)capable == TRUE);
    WlanFreeMemory(capable);
    WlanFreeMemory(list);
    LPWSTR descriptor = NULL;
    DWORD granted = 0;
    CHECK(WlanGetSecuritySettings(handle, wlan_secure_hosted_network_elevated_access, NULL, &descriptor, &granted) ==
          ERROR_SUCCESS);
    CHECK(WlanSetSecuritySettings(handle, wlan_secure_permit_list, descriptor) != ERROR_INVALID_PARAMETER);
    WlanFreeMemory(descriptor);
}

static void *work(void *nothing) {
    (void)nothing;
    DWORD version = 0;
    HANDLE own = NULL;
    CHECK(WlanOpenHandle(WLAN_API_VERSION, NULL, &version, &own) == ERROR_SUCCESS);
    for (int i = 0; i < rounds; i++) {
        /* The lock that the callback wants is held: no call waits for a callback. */
        pthread_mutex_lock(&lock);
        CHECK(WlanHostedNetworkStartUsing(session, NULL, NULL) == ERROR_SUCCESS);
        CHECK(WlanHostedNetworkStartUsing(own, NULL, NULL) == ERROR_SUCCESS);
        pthread_mutex_unlock(&lock);
        ask_everything(i % 2 ? session : own);
        CHECK(WlanHostedNetworkStopUsing(session, NULL, NULL) == ERROR_SUCCESS);
        CHECK(WlanHostedNetworkStopUsing(own, NULL, NULL) == ERROR_SUCCESS);
    }
    CHECK(WlanCloseHandle(own, NULL) == ERROR_SUCCESS);
    CHECK(WlanCloseHandle(own, NULL) == ERROR_INVALID_HANDLE);
    return NULL;
}

int main(int argc, char **argv) {
    rounds = argc > 1 ? atoi(argv[1]) : 10;
    DWORD version = 0, before = 77;
    CHECK(WlanOpenHandle(WLAN_API_VERSION, NULL, &version, &session) == ERROR_SUCCESS);
    CHECK(WlanRegisterNotification(session, WLAN_NOTIFICATION_SOURCE_HNWK, TRUE, notified, &changes, NULL, &before) ==
          ERROR_SUCCESS);
    CHECK(before == WLAN_NOTIFICATION_SOURCE_NONE);
    CHECK(WlanHostedNetworkInitSettings(session, NULL, NULL) == ERROR_SUCCESS);
    UCHAR password[] = "password";
    CHECK(WlanHostedNetworkSetSecondaryKey(session, sizeof password, password, TRUE, TRUE, NULL, NULL) == ERROR_SUCCESS);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0);
    for (int i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    while (1) {
        pthread_mutex_lock(&lock);
        int settled = last == wlan_hosted_network_idle && atomic_load(&changes) >= 2;
        pthread_mutex_unlock(&lock);
        if (settled) break;
        nanosleep(&moment, NULL);
    }
    CHECK(WlanRegisterNotification(session, WLAN_NOTIFICATION_SOURCE_NONE, FALSE, NULL, NULL, NULL, &before) ==
          ERROR_SUCCESS);
    CHECK(before == WLAN_NOTIFICATION_SOURCE_HNWK);
    /* A callback that closes its own handle does not wait for itself. */
    HANDLE suicidal = NULL;
    CHECK(WlanOpenHandle(WLAN_API_VERSION, NULL, &version, &suicidal) == ERROR_SUCCESS);
    CHECK(WlanRegisterNotification(suicidal, WLAN_NOTIFICATION_SOURCE_ALL, FALSE, closes, &suicidal, NULL, NULL) ==
          ERROR_SUCCESS);
    CHECK(WlanHostedNetworkStartUsing(session, NULL, NULL) == ERROR_SUCCESS);
    while (!atomic_load(&closed_inside)) nanosleep(&moment, NULL);
    CHECK(WlanHostedNetworkStopUsing(session, NULL, NULL) == ERROR_SUCCESS);
    CHECK(WlanHostedNetworkStartUsing(suicidal, NULL, NULL) == ERROR_INVALID_HANDLE);
    CHECK(WlanCloseHandle(session, NULL) == ERROR_SUCCESS);
    printf("%u changes\n", atomic_load(&changes));
    return 0;
}
