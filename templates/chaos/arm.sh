# Arms the undo of a fault before the fault: a service that heals after a fixed time, and at every boot until it did, whatever becomes of
# pgs; again and again while it cannot, such as what needs etcd while that has no quorum. Arguments: id, tenant, seconds until the undo. Standard input: the undo as a shell script.
set -eu
id=$1 tenant=$2 after=$3
dir=/var/lib/pgs-chaos
unit=pgs-chaos-undo-$id
umask 077
mkdir -p "$dir"
cat >"$dir/$id.new"
mv "$dir/$id.new" "$dir/$id"
printf '%s\n' "$tenant" >"$dir/$id.tenant"
umask 022
cat >"/etc/systemd/system/$unit.service" <<EOF
# Written by pgs. Undoes a fault of a drill on $tenant; goes away when it did.
[Unit]
Description=pgs: undo of a drill's fault ($tenant)
After=network-online.target pgs-etcd.service
StartLimitIntervalSec=0
[Service]
Type=oneshot
Restart=on-failure
RestartSec=5
ExecStart=/bin/sh $dir/$id
ExecStartPost=/bin/sh -c 'rm -f /etc/systemd/system/$unit.service /etc/systemd/system/$unit.timer /etc/systemd/system/multi-user.target.wants/$unit.service $dir/$id $dir/$id.tenant; systemctl daemon-reload; systemctl stop --no-block $unit.timer'
TimeoutStartSec=60
[Install]
WantedBy=multi-user.target
EOF
cat >"/etc/systemd/system/$unit.timer" <<EOF
# Written by pgs.
[Unit]
Description=pgs: undo of a drill's fault ($tenant)
[Timer]
OnActiveSec=$after
AccuracySec=1s
EOF
systemctl daemon-reload
systemctl enable -q "$unit.service"
systemctl start "$unit.timer"
systemctl is-active -q "$unit.timer"
