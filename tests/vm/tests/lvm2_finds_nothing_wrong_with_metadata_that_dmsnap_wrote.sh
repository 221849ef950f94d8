# disks: 256M 256M 256M

metadata() { "$TOOLS/metadata" "$@"; }

lvs_of() { lvs --noheadings -a -o lv_name,lv_attr,origin,seg_size --units 4m --nosuffix "$1" | tr -s ' ' | sed 's/ $//'; }

metadata create vg /dev/ubda /dev/ubdb
lvm2_content vg
equal "extents" 126 "$(vgs --noheadings -o vg_extent_count vg | tr -d ' ')"

metadata add vg db 8
metadata add vg store 4
lvm2_content vg
metadata snapshot vg store db
lvm2_content vg
equal "volumes" " db owi---s--- 8.00
 store swi---s--- db 4.00" "$(lvs_of vg)"

# lvm2 works on with what it found, and dmsnap with what lvm2 made of it.
vgchange -q -ay vg
equal "the table" "snapshot" "$(dmsetup table vg-store | cut -d' ' -f3)"
lvcreate -q -y -s -l 4 -n second vg/db
lvextend -q -l +4 vg/store
metadata rename vg second other
vgchange -q -an vg
lvm2_content vg
metadata show vg
equal "the store's extents" "lv store Cow 8" "$(metadata show vg | grep '^lv store')"
metadata detach vg store
metadata remove vg store
lvm2_content vg

metadata extend vg /dev/ubdc
lvm2_content vg
equal "used" "used used used" "$(pvs --noheadings -o pv_in_use | tr -d ' ' | xargs)"
metadata reduce vg /dev/ubdb
lvm2_content vg
equal "unused" "/dev/ubdb" "$(pvs --noheadings -o pv_name -S 'vg_name=""' | tr -d ' ')"
vgextend -q vg /dev/ubdb
lvm2_content vg

lvremove -q -y vg/other vg/db
metadata drop vg
equal "groups left" "" "$(vgs --noheadings 2>&1)"
equal "devices left" 3 "$(pvs --noheadings | wc -l)"
vgcreate -q again /dev/ubda /dev/ubdb /dev/ubdc
lvm2_content again
metadata show again
