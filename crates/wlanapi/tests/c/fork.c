/* What a child of fork may do with its parent's session: nothing, and it may have one of its own.
 *
 * Usage: fork child    uses handles on both sides and checks every code
 *        fork orphan   starts the network, prints the process id of a child, and both wait to be killed
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wlanapi.h>

#define CHECK(holds)                                                                                                   \
    do {                                                                                                               \
        if (!(holds)) {                                                                                                \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #holds);                                  \
            _exit(2);                                                                                                  \
        }                                                                                                              \
    } while (0)

static HANDLE open_session(void) {
    DWORD version = 0;
    HANDLE session = NULL;
    CHECK(WlanOpenHandle(WLAN_API_VERSION, NULL, &version, &session) == ERROR_SUCCESS);
    return session;
}

static DWORD state(HANDLE session, WLAN_HOSTED_NETWORK_STATE *state) {
    PWLAN_HOSTED_NETWORK_STATUS status = NULL;
    DWORD code = WlanHostedNetworkQueryStatus(session, &status, NULL);
    if (code == ERROR_SUCCESS) *state = status->HostedNetworkState;
    WlanFreeMemory(status);
    return code;
}

static void ignore(PWLAN_NOTIFICATION_DATA data, PVOID context) {
    (void)data;
    (void)context;
}

/* In the child: the parent's handle is unknown, its own works, and nothing it does touches the parent's reference. */
static void in_child(HANDLE parents) {
    WLAN_HOSTED_NETWORK_STATE now = wlan_hosted_network_unavailable;
    CHECK(state(parents, &now) == ERROR_INVALID_HANDLE);
    CHECK(WlanHostedNetworkStopUsing(parents, NULL, NULL) == ERROR_INVALID_HANDLE);
    CHECK(WlanCloseHandle(parents, NULL) == ERROR_INVALID_HANDLE);
    HANDLE own = open_session();
    CHECK(own != parents);
    CHECK(state(own, &now) == ERROR_SUCCESS);
    CHECK(now == wlan_hosted_network_active);
    CHECK(WlanRegisterNotification(own, WLAN_NOTIFICATION_SOURCE_HNWK, FALSE, ignore, NULL, NULL, NULL) ==
          ERROR_SUCCESS);
    CHECK(WlanHostedNetworkStopUsing(own, NULL, NULL) == ERROR_INVALID_STATE);
    CHECK(WlanHostedNetworkStartUsing(own, NULL, NULL) == ERROR_SUCCESS);
    /* And it leaves without closing anything. */
}

int main(int argc, char **argv) {
    if (argc != 2) return 1;
    HANDLE session = open_session();
    CHECK(WlanRegisterNotification(session, WLAN_NOTIFICATION_SOURCE_HNWK, FALSE, ignore, NULL, NULL, NULL) ==
          ERROR_SUCCESS);
    CHECK(WlanHostedNetworkStartUsing(session, NULL, NULL) == ERROR_SUCCESS);
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (strcmp(argv[1], "orphan") == 0) {
        if (child > 0) {
            printf("%ld\n", (long)child);
            fflush(stdout);
        }
        for (;;) pause();
    }
    if (child == 0) {
        in_child(session);
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    WLAN_HOSTED_NETWORK_STATE now = wlan_hosted_network_unavailable;
    CHECK(state(session, &now) == ERROR_SUCCESS);
    CHECK(now == wlan_hosted_network_active);
    CHECK(WlanHostedNetworkStopUsing(session, NULL, NULL) == ERROR_SUCCESS);
    CHECK(WlanCloseHandle(session, NULL) == ERROR_SUCCESS);
    return 0;
}
