#include "still_codec.h"

namespace ernie::media {

const StillCodec kHeicCodec;

}  // namespace ernie::media
