"""Passwords and tokens in addresses: taken out where one enters, kept in memory for use, masked in every text."""

from search.credentials.address import UnreadableAddress as UnreadableAddress
from search.credentials.address import bare_address as bare_address
from search.credentials.address import has_secret_in_query as has_secret_in_query
from search.credentials.address import masked_address as masked_address
from search.credentials.address import read_address as read_address
from search.credentials.keyring import better_way as better_way
from search.credentials.keyring import put_back as put_back
from search.credentials.keyring import take_out as take_out
from search.credentials.keyring import were_given as were_given
from search.credentials.process_list import mask_command_line as mask_command_line
from search.credentials.text import masked as masked
from search.credentials.text import masked_data as masked_data
from search.credentials.text import print_masked_traceback as print_masked_traceback
