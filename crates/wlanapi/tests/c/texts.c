/* Prints the sentence of every return code and every fail reason in its arguments: eNUMBER or rNUMBER. */
#include <stdio.h>
#include <stdlib.h>
#include <wlanapi.h>

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        int number = atoi(argv[i] + 1);
        const char *text = argv[i][0] == 'e' ? hostednet_error_text((DWORD)number)
                                             : hostednet_reason_text((WLAN_HOSTED_NETWORK_REASON)number);
        puts(text ? text : "-");
    }
    return 0;
}
