#include "still_codec.h"

namespace ernie::media {

const StillCodec kAvifCodec;

}  // namespace ernie::media
