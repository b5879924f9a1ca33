# What the image of the cleanup container runs: it stands in for a program that knows how to take care of the data of a
# member that left.
set -eu

# A shell hears SIGTERM only while it waits, and a cleanup that was stopped must not look like one that is done.
trap 'exit 143' TERM

for file in /var/data/*; do
  echo "$(hostname): $(wc -c < "$file") bytes in $file"
done
sleep 10 &
wait $!
echo "$(hostname): all done"
