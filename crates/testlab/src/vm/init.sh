#!/bin/busybox sh
# Process 1 of the lab's machine: modules, the host's root with a layer of memory over it, the job, the end.
b=/bin/busybox
$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t devtmpfs dev /dev
radios=4; channels=1
for w in $($b cat /proc/cmdline); do
  case $w in radios=*) radios=${w#*=} ;; channels=*) channels=${w#*=} ;; esac
done
for m in $($b cat /modules/order); do
  case $m in mac80211_hwsim.ko) a="radios=$radios channels=$channels" ;; *) a= ;; esac
  $b insmod /modules/$m $a 2>/dev/null || $b echo "lab: $m did not load"
done
o=trans=virtio,version=9p2000.L,msize=262144
$b mount -t 9p -o $o,ro,cache=loose host /host
$b mount -t tmpfs tmpfs /overlay; $b mkdir /overlay/upper /overlay/work
$b mount -t overlay -o lowerdir=/host,upperdir=/overlay/upper,workdir=/overlay/work overlay /root
for d in proc sys dev; do $b mount --move /$d /root/$d; done
$b mount -t tmpfs tmpfs /root/run
$b mkdir -p /root/mnt/job /root/mnt/out /root/mnt/modules /root/dev/pts /root/dev/shm
$b mount -t devpts devpts /root/dev/pts; $b mount -t tmpfs tmpfs /root/dev/shm
$b mount -t cgroup2 cgroup2 /root/sys/fs/cgroup 2>/dev/null
$b mount -t bpf bpf /root/sys/fs/bpf 2>/dev/null
$b mount --bind /modules /root/mnt/modules
$b mount -t 9p -o $o job /root/mnt/job
$b mount -t 9p -o $o out /root/mnt/out 2>/dev/null
$b ip link set lo up
$b chroot /root /bin/bash /mnt/job/run
$b poweroff -f
